#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* rtld-audit(7): the dynamic linker calls it before the program begins. */
unsigned int la_version(unsigned int version) {
  char room[8];
  if (read(open(getenv("K"), O_RDONLY), room, sizeof room) < 1)
    _exit(1);
  return version;
}
