/*
 * A network that takes one byte at a time: loaded in front of the C library, it makes every write to a socket a
 * short one. Writes to files, pipes and event counters stay whole.
 *
 * A runtime takes a short write for a full socket and waits for the next edge of its readiness. The socket is not
 * full, so that edge is made here: what is watched is armed once more, which reports it again.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536 };

/* Who watches a descriptor, and for what. A socket moves between runtimes only while nobody writes to it. */
static struct { int epoll; struct epoll_event event; } watched[DESCRIPTORS];

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	int (*real)(int, int, int, struct epoll_event *) = dlsym(RTLD_NEXT, "epoll_ctl");

	if (fd >= 0 && fd < DESCRIPTORS) {
		watched[fd].epoll = operation == EPOLL_CTL_DEL ? 0 : epoll;
		if (event)
			watched[fd].event = *event;
	}
	return real(epoll, operation, fd, event);
}

/* How much of a write goes through. */
static size_t taken(int fd, size_t length)
{
	struct stat status;

	return length > 1 && fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? 1 : length;
}

static ssize_t written(int fd, size_t wanted, ssize_t result)
{
	if (result == 1 && wanted > 1 && fd < DESCRIPTORS && watched[fd].epoll)
		epoll_ctl(watched[fd].epoll, EPOLL_CTL_MOD, fd, &watched[fd].event);
	return result;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = dlsym(RTLD_NEXT, "send");

	return written(fd, length, real(fd, bytes, taken(fd, length), flags));
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");

	return written(fd, length, real(fd, bytes, taken(fd, length)));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	ssize_t (*real)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
	size_t length = 0;

	for (int i = 0; i < count; i++)
		length += parts[i].iov_len;
	if (taken(fd, length) == length)
		return real(fd, parts, count);
	while (parts->iov_len == 0)
		parts++;
	return written(fd, length, real(fd, &(struct iovec){ parts->iov_base, 1 }, 1));
}
