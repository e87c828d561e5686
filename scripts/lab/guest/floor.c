/* The least that adverts can cost: COUNT sendto() of a VRRP packet to the group, STEP_US apart, for SECONDS; nothing is received,
 * decided or kept. Prints the processor time of one second as one line of JSON.
 *
 *   floor IFACE COUNT STEP_US SECONDS [ADDRESS]   ADDRESS: of one peer, in place of the group
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: floor IFACE COUNT STEP_US SECONDS [ADDRESS]\n");
        return 2;
    }
    unsigned char packet[32] = {0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0, 10, 77, 1, 1, 224, 0, 0, 18, 0x31, 1, 200, 1, 0, 1};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xe0000012)};
    if (argc > 5 && inet_pton(AF_INET, argv[5], &to.sin_addr) == 1) memcpy(packet + 16, &to.sin_addr, 4);
    int s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), off = 0, count = atoi(argv[2]);
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, argv[1], strlen(argv[1])) ||
        setsockopt(s, IPPROTO_IP, IP_MULTICAST_LOOP, &off, sizeof off)) {
        perror(argv[1]);
        return 1;
    }
    struct timespec at, used, start;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    clock_gettime(CLOCK_MONOTONIC, &at);
    long turns = atof(argv[4]) * 1e6 / atol(argv[3]);
    for (long i = 0; i < turns; i++) {
        at.tv_nsec += atol(argv[3]) * 1000;
        at.tv_sec += at.tv_nsec / 1000000000, at.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        for (int n = 0; n < count; n++) {
            packet[21] = n + 1;
            if (sendto(s, packet, sizeof packet, MSG_DONTWAIT, (void *)&to, sizeof to) < 0) {
                perror("sendto");
                return 1;
            }
        }
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    printf("@ {\"floor_ns_per_s\":%.0f}\n", ((used.tv_sec - start.tv_sec) * 1e9 + used.tv_nsec - start.tv_nsec) / atof(argv[4]));
    return 0;
}
