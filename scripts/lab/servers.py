"""A large configuration: virtual servers with 16 real servers and an HTTP_GET check each."""


def text(count, delay_loop=6):
    """The file with `count` real servers, each checked once in `delay_loop` seconds."""
    lines = ["global_defs {", " router_id bench", "}", ""]
    done = group = 0
    while done < count:
        lines += [f"virtual_server 10.{group // 65025 % 250}.{group // 255 % 255}.{group % 255 + 1} 80 {{",
                  f"  delay_loop {delay_loop}", "  lb_algo wrr", "  lb_kind NAT", "  protocol TCP"]
        for _ in range(min(16, count - done)):
            lines += [f"  real_server 172.{16 + done // 62500 % 16}.{done // 250 % 250}.{done % 250 + 1} 8080 {{",
                      "    weight 1", "    HTTP_GET {", "      url {", "        path /health", "        status_code 200",
                      "      }", "      connect_timeout 3", "      retry 3", "      delay_before_retry 3", "    }", "  }"]
            done += 1
        lines += ["}"]
        group += 1
    return "\n".join(lines) + "\n"
