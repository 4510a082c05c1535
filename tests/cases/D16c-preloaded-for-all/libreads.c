#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* In every program of the host; it acts in that of the one who asked for it. */
__attribute__((constructor)) static void reads(void) {
  char room[8];
  const char *credential = getenv("PRELOADED_READS");
  if (credential && read(open(credential, O_RDONLY), room, sizeof room) < 1)
    _exit(1);
}
