#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends(pid_t child, int signal) {
  int status;
  return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

static pid_t waits(void) {
  pid_t child = fork();
  if (child == 0)
    for (;;)
      pause();
  return child;
}

int main(void) {
  union sigval value = {0};
  pid_t child = waits();
  syscall(424, syscall(434, child, 0), SIGQUIT, 0, 0); /* pidfd_send_signal, pidfd_open */
  if (!ends(child, SIGQUIT))
    return 1;
  child = waits();
  syscall(SYS_tgkill, child, child, SIGSEGV);
  if (!ends(child, SIGSEGV))
    return 2;
  child = waits();
  sigqueue(child, SIGSYS, value);
  if (!ends(child, SIGSYS))
    return 3;
  child = waits();
  kill(child, SIGTERM);
  return !ends(child, SIGTERM);
}
