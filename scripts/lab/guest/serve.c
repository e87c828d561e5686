/* The servers that health checks look at, as one line of JSON. Runs inside the laboratory's machine.
 *
 *   serve tcp PORT SECONDS WINDOW INTERVAL_MS     accepts, and closes when the peer has
 *   serve http PORT SECONDS WINDOW INTERVAL_MS    answers 200 to whatever comes
 *   serve table SECONDS DESTINATIONS FROM_NS      how long until the IPVS table has so many destinations
 *
 * It listens on every local address and runs for SECONDS. Of each address that was connected to it notes when: "checks" counts the last
 * WINDOW seconds, the intervals are between two connections to one address in them, and the busiest 10 ms are those of the whole run:
 * that begins before the daemon does, so a burst at its start is among them; "busiest_at_ns": how long after the first connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <linux/ip_vs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct seen { unsigned addr; long long t; } *all;
static long count, room;

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void note(unsigned addr, long long t) {
    if (count == room && !(all = realloc(all, (room = room ? 2 * room : 1 << 14) * sizeof *all)))
        exit(3);
    all[count++] = (struct seen){addr, t};
}

static int by_time(const void *a, const void *b) {
    const struct seen *x = a, *y = b;
    return (x->t > y->t) - (x->t < y->t);
}
static int by_address(const void *a, const void *b) {
    const struct seen *x = a, *y = b;
    return x->addr != y->addr ? (x->addr > y->addr) - (x->addr < y->addr) : by_time(a, b);
}
static int by_size(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static void report(long long from, long long interval) {
    long busiest = 0, first = 0, checks = 0, n = 0;
    long long at = 0;
    qsort(all, count, sizeof *all, by_time);
    for (long i = 0; i < count; i++) {
        while (all[i].t - all[first].t > 10000000) first++;
        if (i - first + 1 > busiest) busiest = i - first + 1, at = all[first].t - all[0].t;
    }
    qsort(all, count, sizeof *all, by_address);
    long long *off = malloc((count + 1) * sizeof *off);
    double sum = 0;
    for (long i = 0; i < count; i++) {
        if (all[i].t < from) continue;
        checks++;
        if (!i || all[i].addr != all[i - 1].addr || all[i - 1].t < from) continue;
        long long gap = all[i].t - all[i - 1].t;
        sum += gap, off[n++] = llabs(gap - interval);
    }
    qsort(off, n, sizeof *off, by_size);
    printf("@ {\"checks\":%ld,\"interval_share\":%.4f,\"interval_median_ns\":%lld,\"interval_worst_ns\":%lld,\"busiest_10ms\":%ld,\"busiest_at_ns\":%lld}\n", checks,
           n ? sum / n / interval : 0, n ? off[n / 2] : -1, n ? off[n - 1] : -1, busiest, at);
}

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

/* Below a daemon that has a real-time priority (2), above all others: when it accepts does not depend on them. */
static void serve(int http, int port, long long until) {
    struct sched_param low = {.sched_priority = 1};
    sched_setscheduler(0, SCHED_FIFO, &low);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1, e = epoll_create1(0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, (void *)&a, sizeof a) || listen(s, 4096)) {
        perror("serve");
        exit(2);
    }
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = s}, got[64];
    epoll_ctl(e, EPOLL_CTL_ADD, s, &ev);
    for (long long left; (left = until - now()) > 0;) {
        int n = epoll_wait(e, got, 64, (int)(left / 1000000) + 1);
        for (int i = 0; i < n; i++) {
            int fd = got[i].data.fd;
            if (fd != s) {
                char text[2048];
                if (recv(fd, text, sizeof text, MSG_DONTWAIT) > 0 && http)
                    send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                close(fd);
                continue;
            }
            for (int c; (c = accept4(s, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                socklen_t len = sizeof a;
                getsockname(c, (void *)&a, &len);
                note(ntohl(a.sin_addr.s_addr), now());
                ev = (struct epoll_event){.events = EPOLLIN, .data.fd = c};
                epoll_ctl(e, EPOLL_CTL_ADD, c, &ev);
            }
        }
    }
}

static void table(double seconds, unsigned want, long long from) {
    int s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    static char room[4 << 20];
    unsigned have = 0;
    for (long long until = now() + (long long)(seconds * 1e9); now() < until && have < want; usleep(20000)) {
        struct ip_vs_getinfo info = {0};
        struct ip_vs_get_services *got = (void *)room;
        socklen_t len = sizeof info;
        have = 0;
        if (getsockopt(s, IPPROTO_IP, IP_VS_SO_GET_INFO, &info, &len)) continue;
        got->num_services = info.num_services;
        len = sizeof *got + info.num_services * sizeof *got->entrytable;
        if (len > sizeof room || getsockopt(s, IPPROTO_IP, IP_VS_SO_GET_SERVICES, got, &len)) continue;
        for (unsigned i = 0; i < got->num_services; i++) have += got->entrytable[i].num_dests;
    }
    printf("@ {\"filled_ns\":%lld,\"filled\":%u}\n", have >= want ? now() - from : -1, have);
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "now")) {
        printf("%lld\n", now());
        return 0;
    }
    if (argc == 5 && !strcmp(argv[1], "table")) {
        table(atof(argv[2]), atoi(argv[3]), atoll(argv[4]));
        return 0;
    }
    if (argc != 6) {
        fprintf(stderr, "usage: serve tcp|http PORT SECONDS WINDOW INTERVAL_MS | serve table SECONDS DESTINATIONS FROM_NS | serve now\n");
        return 2;
    }
    long long until = now() + (long long)(atof(argv[3]) * 1e9), from = until - (long long)(atof(argv[4]) * 1e9);
    serve(!strcmp(argv[1], "http"), atoi(argv[2]), until);
    report(from, atoll(argv[5]) * 1000000);
    return 0;
}
