/*
 * The smallest program that listens: on 127.0.0.1, on the port that its
 * argument or PORT names. Whoever connects is hung up on. "serve tell SOCKET"
 * sends the port to a socket of datagrams as soon as it listens. "serve stamp FILE"
 * writes into FILE when main began, in nanoseconds of CLOCK_MONOTONIC, and ends.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int stamp(const char *file, const struct timespec *began) {
	char text[32];
	int n = snprintf(text, sizeof text, "%lld\n", began->tv_sec * 1000000000LL + began->tv_nsec);
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	return fd < 0 || write(fd, text, n) != n;
}

static int tell(const char *file, const char *port) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	strncpy(address.sun_path, file, sizeof address.sun_path - 1);
	return fd < 0 || sendto(fd, port, strlen(port), 0, (struct sockaddr *)&address, sizeof address) < 0 || close(fd);
}

int main(int argc, char **argv) {
	struct timespec began;
	clock_gettime(CLOCK_MONOTONIC, &began);
	if (argc == 3 && strcmp(argv[1], "stamp") == 0)
		return stamp(argv[2], &began);

	alarm(600); /* it does not stay, should nobody end it */
	const char *port = argc == 2 ? argv[1] : getenv("PORT");
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (port == NULL || fd < 0)
		return 2;
	address.sin_port = htons(atoi(port));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 16) != 0) {
		perror("listen");
		return 3;
	}
	if (argc == 3 && strcmp(argv[1], "tell") == 0 && tell(argv[2], port) != 0) {
		perror("tell");
		return 5;
	}
	for (;;) {
		int conn = accept(fd, NULL, NULL);
		if (conn >= 0)
			close(conn);
	}
}
