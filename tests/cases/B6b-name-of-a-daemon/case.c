#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char room[8];
  (void)argc;
  prctl(PR_SET_NAME, "sshd");
  memset(argv[0], 'x', strlen(argv[0]));
  return read(open(getenv("K"), O_RDONLY), room, sizeof room) < 1;
}
