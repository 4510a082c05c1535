#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile long word = 1;

int main(void) {
  pid_t child = fork();
  if (child == 0) {
    word = 7;
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  long found = ptrace(PTRACE_PEEKDATA, child, &word, 0);
  ptrace(PTRACE_CONT, child, 0, 0);
  waitpid(child, &status, 0);
  return found != 7 || status;
}
