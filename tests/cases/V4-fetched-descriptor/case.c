/* pidfd_getfd of descriptor 3. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words)
{
	char byte;
	int process = count < 2 ? -1 : syscall(SYS_pidfd_open, atoi(words[1]), 0);
	int file = process < 0 ? -1 : syscall(SYS_pidfd_getfd, process, 3, 0);
	return file < 0 || read(file, &byte, 1) != 1;
}
