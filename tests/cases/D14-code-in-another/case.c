/* Writes an open(2) into another process, and lets that run it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void put(int memory, unsigned long at, const void *bytes, size_t count)
{
    must(pwrite(memory, bytes, count, (off_t)at) == (ssize_t)count, "writing");
}

int main(int argc, char **argv)
{
    must(argc == 3, "arguments");
    pid_t pid = atoi(argv[1]);
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/mem", pid);
    int memory = open(name, O_RDWR);
    must(memory >= 0, name);
    must(ptrace(PTRACE_ATTACH, pid, 0, 0) == 0, "attaching");
    int status;
    must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "stopping");
    struct user_regs_struct before, regs;
    must(ptrace(PTRACE_GETREGS, pid, 0, &before) == 0, "reading registers");
    regs = before;
    const unsigned char code[] = {0x0f, 0x05, 0xcc}; /* syscall; int3 */
    unsigned char kept[sizeof code];
    must(pread(memory, kept, sizeof kept, (off_t)before.rip) == sizeof kept, "reading");
    unsigned long path = (before.rsp - 8192) & ~15UL;
    put(memory, path, argv[2], strlen(argv[2]) + 1);
    put(memory, before.rip, code, sizeof code);
    regs.rax = SYS_open;
    regs.orig_rax = (unsigned long)-1;
    regs.rdi = path;
    regs.rsi = O_RDONLY;
    regs.rdx = 0;
    must(ptrace(PTRACE_SETREGS, pid, 0, &regs) == 0, "writing registers");
    must(ptrace(PTRACE_CONT, pid, 0, 0) == 0, "going on");
    must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "stopping again");
    must(ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0, "reading registers");
    must((long)regs.rax >= 0, "opening");
    put(memory, before.rip, kept, sizeof kept);
    ptrace(PTRACE_SETREGS, pid, 0, &before);
    ptrace(PTRACE_DETACH, pid, 0, 0);
    return 0;
}
