#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  char b[8];
  int f = syscall(SYS_open, getenv("K"), O_RDONLY);
  if (f < 0 || read(f, b, sizeof b) < 1) return 1;
  if (syscall(SYS_open, getenv("K"), O_RDWR) < 0) return 2;
  return syscall(SYS_creat, getenv("K"), 0600) < 0;
}
