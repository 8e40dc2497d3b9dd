/* Says what a service knows of an address: look_up URL TOKEN ADDRESS. The URL is http://ADDRESS:PORT. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char host[64], text[4096];
	int port;
	if (argc != 4 || sscanf(argv[1], "http://%63[^:]:%d", host, &port) != 2)
		return 2;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1 || connect(s, (struct sockaddr *)&to, sizeof to) != 0)
		return 1;
	int n = snprintf(text, sizeof text, "GET /v1/addresses/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", argv[3], host, argv[2]);
	if (write(s, text, n) != n)
		return 1;
	size_t have = 0;
	for (ssize_t got; have < sizeof text - 1 && (got = read(s, text + have, sizeof text - 1 - have)) > 0;)
		have += got;
	text[have] = 0;
	char *body = strstr(text, "\r\n\r\n");
	if (!body || strncmp(text, "HTTP/1.1 200", 12) != 0)
		return 1;
	puts(body + 4);
	return 0;
}
