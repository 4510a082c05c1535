#define _GNU_SOURCE
#include <sys/wait.h>
#include <unistd.h>

/* Since 5.18 Linux makes one empty argument of none. */
int main(void) {
  char *empty[] = {"", 0};
  for (int round = 0; round < 2; round++) {
    if (fork() == 0) {
      execve("/bin/true", round ? empty : 0, environ);
      _exit(1);
    }
    int status;
    wait(&status);
    if (status)
      return 1;
  }
  return 0;
}
