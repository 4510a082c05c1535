#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void reads(void) {
  char room[8];
  if (read(open(getenv("K"), O_RDONLY), room, sizeof room) < 1)
    _exit(1);
}
