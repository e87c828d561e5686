"""Large configurations: `text`, virtual servers with 16 real servers and an HTTP_GET check each; `checked`, any check."""


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


#: Checks of `checked`.
CHECKS = {
    "tcp": "TCP_CHECK {\n      connect_timeout 2\n    }",
    "http": "HTTP_GET {\n      url {\n        path /\n        status_code 200\n      }\n      connect_timeout 2\n    }",
    "tls": "SSL_GET {\n      url {\n        path /\n        status_code 200\n      }\n      connect_timeout 2\n    }",
}


def checked(kind, count, delay_loop, services=1, port=80):
    """`count` real servers 10.64.0.1 and on, a hundred in each virtual server, checked every `delay_loop` seconds. `services`: so many
    virtual servers name the same hundred."""
    lines = []
    for first in range(0, count, 100):
        for n in range(services):
            lines += [f"virtual_server 10.{32 + n}.0.{first // 100 + 1} 80 {{", f"  delay_loop {delay_loop:g}", "  lb_algo rr",
                      "  lb_kind NAT", "  protocol TCP"]
            for i in range(first, min(first + 100, count)):
                lines += [f"  real_server 10.64.{i // 250}.{i % 250 + 1} {port} {{", "    weight 1", f"    {CHECKS[kind]}", "  }"]
            lines += ["}"]
    return "\n".join(lines) + "\n"
