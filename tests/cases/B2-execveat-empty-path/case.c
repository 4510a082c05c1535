#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  char *argv[] = {"another name", 0};
  int file = open("/bin/true", O_PATH | O_CLOEXEC);
  syscall(SYS_execveat, file, "", argv, environ, AT_EMPTY_PATH);
  return 1;
}
