#define _GNU_SOURCE
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int burst(char *self) {
  char *argv[] = {"burst", 0};
  for (int round = 0; round < 1000; round++) {
    int status;
    pid_t child = vfork();
    if (child == 0) {
      execve(self, argv, environ);
      _exit(1);
    }
    if (waitpid(child, &status, 0) != child || status)
      return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  (void)argc;
  if (!strcmp(argv[0], "burst"))
    return 0;
  pid_t other = fork();
  if (other == 0)
    _exit(burst(argv[0]));
  int status, failed = burst(argv[0]);
  waitpid(other, &status, 0);
  return failed || status;
}
