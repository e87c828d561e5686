/* What crosses a cable, from the kernel's own receive timestamps, as one line of JSON. Runs inside the laboratory's machine.
 *
 * It sleeps while the packets collect in its socket and reads them when the window is over: while something is measured,
 * it takes no processor time from it. Its priority is high, so that the window is as long as it says.
 *
 *   tap adverts IFACE SECONDS INTERVAL_US [PID...]   intervals between the adverts of each router; processor time of PIDs
 *   tap takeover IFACE SECONDS FLOOR_US              from the last advert of the first sender to the first of another
 *   tap client IFACE SECONDS FLOOR_US NETNS ADDRESS...
 *       the same on IFACE in NETNS, a host that sends an echo request to each ADDRESS every millisecond: how many had no answer, and when
 *       its neighbour table has the MAC that is announced, and a bridge of this namespace the port of a virtual MAC, after that advert. The
 *       tables are read every millisecond, so that it wakes for nothing else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum kind { ADVERT = 1, ANNOUNCE, REPLY, ENTRY /* of a neighbour table */, PORT /* of a bridge */ };
struct event {
    long long t;            /* ns */
    unsigned char mac[6];   /* sender */
    unsigned char kind, family, vrid, priority;
    unsigned char addr[16]; /* announced address, or the sender's */
    unsigned short number;  /* of a reply */
};
static struct event *events;
static long count, room;
static long long begin, end; /* of the window: what came later is left out */

static struct event *more(void) {
    if (count == room && !(events = realloc(events, (room = room ? 2 * room : 1 << 14) * sizeof *events)))
        exit(3);
    return memset(&events[count++], 0, sizeof *events);
}

static void note(const unsigned char *p, int len, long long t) {
    unsigned char addr[16] = {0}, kind = 0, family = 4, vrid = 0, priority = 0;
    unsigned short number = 0;
    if (len >= 42 && p[12] == 8 && p[13] == 0 && p[23] == 112) {
        int h = 14 + (p[14] & 15) * 4;
        if (len < h + 8) return;
        kind = ADVERT, vrid = p[h + 1], priority = p[h + 2], memcpy(addr, p + 26, 4);
    } else if (len >= 62 && p[12] == 0x86 && p[13] == 0xdd && p[20] == 112) {
        kind = ADVERT, family = 6, vrid = p[55], priority = p[56], memcpy(addr, p + 22, 16);
    } else if (len >= 42 && p[12] == 8 && p[13] == 6 && !memcmp(p + 28, p + 38, 4)) {
        kind = ANNOUNCE, memcpy(addr, p + 28, 4);
    } else if (len >= 78 && p[12] == 0x86 && p[13] == 0xdd && p[20] == 58 && p[54] == 136) {
        kind = ANNOUNCE, family = 6, memcpy(addr, p + 62, 16);
    } else if (len >= 42 && p[12] == 8 && p[13] == 0 && p[23] == 1 && p[34] == 0) {
        kind = REPLY, number = p[40] << 8 | p[41], memcpy(addr, p + 26, 4);
    } else if (len >= 62 && p[12] == 0x86 && p[13] == 0xdd && p[20] == 58 && p[54] == 129) {
        kind = REPLY, family = 6, number = p[60] << 8 | p[61], memcpy(addr, p + 22, 16);
    } else
        return;
    struct event *e = more();
    e->t = t, e->kind = kind, e->family = family, e->vrid = vrid, e->priority = priority, e->number = number;
    memcpy(e->mac, p + 6, 6), memcpy(e->addr, addr, 16);
}

static int open_tap(const char *name) {
    int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), on = 1, room = 400 << 20;
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(name)};
    if (s < 0 || bind(s, (void *)&a, sizeof a) || setsockopt(s, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) ||
        setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) {
        perror(name);
        exit(2);
    }
    return s;
}

/* Reads all that has come; how many the kernel dropped. */
static unsigned drain(int s) {
    unsigned char p[2048], control[256];
    for (;;) {
        struct iovec io = {p, sizeof p};
        struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        int n = recvmsg(s, &m, MSG_DONTWAIT);
        if (n < 0) break;
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
            if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SO_TIMESTAMPNS) {
                struct timespec t;
                memcpy(&t, CMSG_DATA(h), sizeof t);
                long long at = t.tv_sec * 1000000000LL + t.tv_nsec;
                if (at < end) note(p, n, at);
            }
    }
    struct tpacket_stats { unsigned packets, drops; } st = {0, 0};
    socklen_t len = sizeof st;
    getsockopt(s, SOL_PACKET, 6 /* PACKET_STATISTICS */, &st, &len);
    return st.drops;
}

static long long cpu(char **pids) {
    long long sum = 0;
    for (; *pids; pids++) {
        clockid_t id;
        struct timespec t;
        if (!clock_getcpuclockid(atoi(*pids), &id) && !clock_gettime(id, &t))
            sum += t.tv_sec * 1000000000LL + t.tv_nsec;
    }
    return sum;
}

static int by_size(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static void adverts(double seconds, long long interval, long long used, unsigned drops) {
    static long long last[2][256][256]; /* family, last byte of the sender's address, VRID */
    long long *off = malloc((count + 1) * sizeof *off), longest = 0;
    long n = 0, seen = 0, over = 0, routers = 0;
    long long first = -1;
    double drift = 0;
    for (long i = 0; i < count; i++) {
        struct event *e = &events[i];
        if (e->kind != ADVERT) continue;
        if (!seen++) first = e->t - begin;
        long long *l = &last[e->family == 6][e->addr[e->family == 6 ? 15 : 3]][e->vrid];
        if (*l) {
            long long gap = e->t - *l;
            off[n++] = llabs(gap - interval), drift += gap - interval;
            if (gap > longest) longest = gap;
            over += gap > interval + interval / 10;
        } else
            routers++;
        *l = e->t;
    }
    qsort(off, n, sizeof *off, by_size);
#define AT(share) (n ? off[(long)((n - 1) * share)] : 0)
    printf("@ {\"adverts\":%ld,\"routers\":%ld,\"drift_ns\":%.1f,\"median_ns\":%lld,\"p99_ns\":%lld,\"max_ns\":%lld,"
           "\"longest_gap_ns\":%lld,\"late_gaps\":%ld,\"cpu_ns_per_s\":%.0f,\"cpu_ns_per_advert\":%.0f,\"first_advert_ns\":%lld,"
           "\"drops\":%u}\n",
           seen, routers, n ? drift / n : 0, AT(.5), AT(.99), AT(1), longest, over, used / seconds,
           seen ? (double)used / seen : 0, first, drops);
}

static int by_address(const void *a, const void *b) {
    const struct event *x = a, *y = b;
    int c = memcmp(x->addr, y->addr, 16);
    return c ? c : (x->t > y->t) - (x->t < y->t);
}

/* What a client sees of its addresses. */
enum { MOST = 4 };
static struct watched {
    unsigned char family, addr[16];
} watched[MOST];
static int addresses, outside;
static long sent; /* requests to each address, numbered from 1 */
static long long sent_at[1 << 16];

static int netlink(void) {
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_NEIGH};
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), room = 16 << 20;
    if (s < 0 || bind(s, (void *)&a, sizeof a) || setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) {
        perror("netlink");
        exit(2);
    }
    return s;
}

/* Reads what has come of neighbours (or of a bridge's table); `at`: the time that counts for it. */
static void neighbours(int s, int bridge, long long at) {
    static char buf[1 << 16];
    for (int n; (n = recv(s, buf, sizeof buf, MSG_DONTWAIT)) > 0;)
        for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, (unsigned)n); h = NLMSG_NEXT(h, n)) {
            struct ndmsg *nd = NLMSG_DATA(h);
            unsigned char *mac = NULL, *dst = NULL;
            if (h->nlmsg_type != RTM_NEWNEIGH) continue;
            int len = h->nlmsg_len - NLMSG_LENGTH(sizeof *nd);
            for (struct rtattr *a = (void *)(nd + 1); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
                if (a->rta_type == NDA_LLADDR) mac = RTA_DATA(a);
                if (a->rta_type == NDA_DST) dst = RTA_DATA(a);
            }
            if (!mac || (bridge ? nd->ndm_family != AF_BRIDGE || memcmp(mac, "\0\0\x5e\0", 4) : !dst)) continue;
            struct event *e = more();
            e->t = at, e->kind = bridge ? PORT : ENTRY, e->family = nd->ndm_family == AF_INET6 ? 6 : 4;
            memcpy(e->mac, mac, 6);
            if (!bridge) memcpy(e->addr, dst, e->family == 6 ? 16 : 4);
        }
}

/* Into a namespace, with an eye on the bridge outside. */
static void enter(const char *name) {
    char path[256];
    outside = netlink();
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int ns = open(path, O_RDONLY);
    if (ns < 0 || setns(ns, CLONE_NEWNET)) perror(path), exit(2);
}

static void client(double seconds, char **argv) {
    int inside = netlink(), fd[MOST];
    for (; *argv && addresses < MOST; argv++) {
        struct watched *w = &watched[addresses];
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        int none = 0, is6 = inet_pton(AF_INET6, *argv, &v6.sin6_addr) == 1;
        if (!is6) inet_pton(AF_INET, *argv, &v4.sin_addr);
        w->family = is6 ? 6 : 4, memcpy(w->addr, is6 ? (void *)&v6.sin6_addr : &v4.sin_addr, is6 ? 16 : 4);
        fd[addresses] = socket(is6 ? AF_INET6 : AF_INET, SOCK_RAW, is6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
        if (connect(fd[addresses], is6 ? (void *)&v6 : (void *)&v4, is6 ? sizeof v6 : sizeof v4)) perror(*argv), exit(2);
        /* Replies are seen by the tap. */
        setsockopt(fd[addresses], SOL_SOCKET, SO_RCVBUF, &none, sizeof none);
        addresses++;
    }
    struct timespec at, now;
    clock_gettime(CLOCK_MONOTONIC, &at);
    for (long turns = seconds * 1000; turns--;) {
        clock_gettime(CLOCK_REALTIME, &now);
        long long t = now.tv_sec * 1000000000LL + now.tv_nsec;
        neighbours(inside, 0, t), neighbours(outside, 1, t);
        /* A reply to the last of them arrives within the window. */
        for (int i = 0; turns > 100 && i < addresses; i++) {
            unsigned char echo[16] = {watched[i].family == 6 ? 128 : 8, 0, 0, 0, 0x6b, 0x61, (sent + 1) >> 8, sent + 1};
            unsigned sum = 0;
            for (int n = 0; n < 16; n += 2) sum += echo[n] << 8 | echo[n + 1];
            sum = (sum & 0xffff) + (sum >> 16), sum = ~(sum + (sum >> 16));
            if (watched[i].family == 4) echo[2] = sum >> 8, echo[3] = sum; /* of the other family the kernel works it out */
            (void)!send(fd[i], echo, sizeof echo, MSG_DONTWAIT);
        }
        if (turns > 100) sent_at[++sent & 0xffff] = t;
        at.tv_nsec += 1000000;
        at.tv_sec += at.tv_nsec / 1000000000, at.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    }
}

/* `first`: the new Master's first advert. Of several addresses the worst counts. */
static void client_saw(long long first) {
    long worst = 0, late = 0, early = 0;
    long long answer = -1, entry = -1, port = -1;
    for (int i = 0; i < addresses; i++) {
        struct watched *w = &watched[i];
        char *seen = calloc(sent + 2, 1);
        long answered = 0, before = 0;
        long long again = 0, moved = 0;
        unsigned char *mac = NULL; /* as it is announced */
        for (long k = 0; k < count; k++) {
            struct event *e = &events[k];
            if (e->kind == PORT && e->t >= first && port < 0) port = e->t - first;
            if (e->family != w->family || memcmp(e->addr, w->addr, 16)) continue;
            if (e->kind == ANNOUNCE && e->t >= first && !mac) mac = e->mac;
            if (e->kind != REPLY || e->number > sent) continue;
            answered += !seen[e->number], seen[e->number] = 1;
            if (e->t < first) before++;
            else if (!again) again = e->t;
        }
        long after = 0;
        for (long n = 1; n <= sent; n++) after += sent_at[n & 0xffff] >= first && !seen[n];
        if (sent - answered > worst) worst = sent - answered;
        if (after > late) late = after;
        early += before > 0;
        if (!again) answer = -2;
        else if (answer != -2 && again - first > answer) answer = again - first;
        for (long k = 0; mac && k < count && !moved; k++) {
            struct event *e = &events[k];
            if (e->kind == ENTRY && e->t >= first && e->family == w->family && !memcmp(e->addr, w->addr, 16) && !memcmp(e->mac, mac, 6))
                moved = e->t;
        }
        if (!moved) entry = -2;
        else if (entry != -2 && moved - first > entry) entry = moved - first;
        free(seen);
    }
    printf("@ {\"probes\":%ld,\"lost\":%ld,\"lost_after\":%ld,\"answered_before\":%ld,\"answer_after_ns\":%lld,\"entry_after_ns\":%lld,\"port_after_ns\":%lld}\n",
           sent, worst, late, early, answer == -2 ? -1 : answer, entry == -2 ? -1 : entry, port);
}

static void takeover(long long floor, unsigned drops) {
    static struct { long long last, first; } router[2][256];
    /* The senders are told apart by their address: with virtual MACs the Ethernet address is the same. */
    unsigned char old[16] = {0};
    long long first = 0, final = 0, first_garp = 0, last_garp = 0, latest = -1, earliest = 0, again = 0, own = -1;
    long routers = 0, missing = 0, announced = 0, garps = 0;
    for (long i = 0; i < count; i++)
        if (events[i].kind == ADVERT) {
            memcpy(old, events[i].addr, 16);
            break;
        }
    for (long i = 0; i < count; i++) {
        struct event *e = &events[i];
        if (e->kind != ADVERT) continue;
        if (!memcmp(e->addr, old, 16)) {
            if (!router[e->family == 6][e->vrid].first) router[e->family == 6][e->vrid].last = e->t;
        } else if (!router[e->family == 6][e->vrid].first)
            router[e->family == 6][e->vrid].first = e->t;
    }
    for (int f = 0; f < 2; f++)
        for (int v = 0; v < 256; v++) {
            if (!router[f][v].last) continue;
            routers++;
            if (!router[f][v].first) { missing++; continue; }
            long long late = router[f][v].first - router[f][v].last - floor;
            if (late > latest) latest = late;
            if (router[f][v].first > final) final = router[f][v].first;
            if (!first || router[f][v].first < first) first = router[f][v].first, earliest = late;
        }
    if (addresses) client_saw(first);
    /* Announcements of the new Master (the cable of the old one is cut), sorted by address: the first of each counts. */
    long kept = 0;
    for (long i = 0; i < count; i++)
        if (events[i].kind == ANNOUNCE && first && events[i].t >= first)
            events[kept++] = events[i];
    garps = kept;
    qsort(events, kept, sizeof *events, by_address);
    for (long i = 0; i < kept; i++) {
        if (i && !memcmp(events[i].addr, events[i - 1].addr, 16)) {
            if (!again || events[i].t < again) again = events[i].t;
            continue;
        }
        announced++;
        if (!first_garp || events[i].t < first_garp) first_garp = events[i].t;
        if (events[i].t > last_garp) last_garp = events[i].t;
        /* Where each router has one address, its last byte is the VRID. */
        long long from = router[events[i].family == 6][events[i].addr[events[i].family == 6 ? 15 : 3]].first;
        if (from && events[i].t - from > own) own = events[i].t - from;
    }
    printf("@ {\"routers\":%ld,\"without_advert\":%ld,\"first_advert_late_ns\":%lld,\"last_router_late_ns\":%lld,"
           "\"spread_ns\":%lld,"
           "\"first_garp_after_ns\":%lld,\"last_garp_after_ns\":%lld,\"own_garp_after_ns\":%lld,\"announced\":%ld,\"garps\":%ld,"
           "\"twice_before_all\":%d,\"drops\":%u}\n",
           routers, missing, earliest, latest, final - first, first_garp ? first_garp - first : -1, last_garp ? last_garp - first : -1, own,
           announced, garps, again && again < last_garp, drops);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: tap adverts IFACE SECONDS INTERVAL_US [PID...] | tap takeover IFACE SECONDS FLOOR_US\n"
                        "     | tap client IFACE SECONDS FLOOR_US NETNS ADDRESS...\n");
        return 2;
    }
    struct sched_param high = {.sched_priority = 50};
    sched_setscheduler(0, SCHED_FIFO, &high);
    int eye = !strcmp(argv[1], "client");
    if (eye && argc < 7) return 2;
    if (eye) enter(argv[5]);
    int s = open_tap(argv[2]);
    double seconds = atof(argv[3]);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    begin = now.tv_sec * 1000000000LL + now.tv_nsec;
    end = begin + (long long)(seconds * 1e9);
    struct timespec t = {(time_t)seconds, (long)((seconds - (long)seconds) * 1e9)};
    long long used = 0;
    if (eye)
        client(seconds, argv + 6);
    else {
        long long before = cpu(argv + 5);
        nanosleep(&t, NULL);
        used = cpu(argv + 5) - before;
    }
    unsigned drops = drain(s);
    if (!strcmp(argv[1], "adverts"))
        adverts(seconds, atoll(argv[4]) * 1000, used, drops);
    else
        takeover(atoll(argv[4]) * 1000, drops);
    return 0;
}
