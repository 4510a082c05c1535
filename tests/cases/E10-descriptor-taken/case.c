#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  int ready[2], file;
  char room[4];
  if (pipe(ready))
    return 1;
  pid_t child = fork();
  if (child == 0) {
    file = open(getenv("K"), O_RDONLY);
    if (write(ready[1], &file, sizeof file) == sizeof file)
      pause();
    _exit(1);
  }
  if (read(ready[0], &file, sizeof file) != sizeof file || file < 0)
    return 2;
  int process = syscall(434, child, 0); /* pidfd_open */
  int taken = syscall(438, process, file, 0); /* pidfd_getfd */
  int good = taken >= 0 && read(taken, room, sizeof room) == sizeof room;
  kill(child, SIGKILL);
  waitpid(child, 0, 0);
  return !good;
}
