/* Two datagrams to two peers by one call. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int count, char **words)
{
	struct sockaddr_in peers[2];
	struct mmsghdr all[2] = { 0 };
	struct iovec byte = { "x", 1 };
	int plug = socket(AF_INET, SOCK_DGRAM, 0);
	if (count < 3)
		return 2;
	for (int at = 0; at < 2; at++) {
		peers[at] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(at ? 9 : atoi(words[2])) };
		inet_pton(AF_INET, words[1], &peers[at].sin_addr);
		all[at].msg_hdr = (struct msghdr){ .msg_name = &peers[at], .msg_namelen = sizeof(peers[at]),
						   .msg_iov = &byte, .msg_iovlen = 1 };
	}
	return sendmmsg(plug, all, 2, 0) != 2;
}
