/* Connects through io_uring. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct io_uring_params params;
static char *submission, *completion;
static struct io_uring_sqe *entries;
static int ring;

static unsigned *at(char *base, unsigned offset)
{
	return (unsigned *)(base + offset);
}

static int run(const struct io_uring_sqe *entry)
{
	unsigned tail = *at(submission, params.sq_off.tail);
	unsigned mask = *at(submission, params.sq_off.ring_mask);
	entries[tail & mask] = *entry;
	at(submission, params.sq_off.array)[tail & mask] = tail & mask;
	__atomic_store_n(at(submission, params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -1;
	unsigned head = *at(completion, params.cq_off.head);
	unsigned full = *at(completion, params.cq_off.ring_mask);
	struct io_uring_cqe *answers = (void *)(completion + params.cq_off.cqes);
	int result = answers[head & full].res;
	__atomic_store_n(at(completion, params.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return result;
}

int main(int count, char **words)
{
	if (count < 3)
		return 2;
	ring = syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0)
		return 3;
	size_t size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
	size_t other = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	submission = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	completion = mmap(NULL, other, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	entries = mmap(NULL, params.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons(atoi(words[2])) };
	inet_pton(AF_INET, words[1], &peer.sin_addr);
	int plug = socket(AF_INET, SOCK_STREAM, 0);
	struct io_uring_sqe entry = { .opcode = IORING_OP_CONNECT, .fd = plug,
				      .addr = (unsigned long)&peer, .off = sizeof(peer) };
	return run(&entry) != 0;
}
