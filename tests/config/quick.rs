//! A large file without its virtual servers: what the virtual routers are, and whether the daemon may start, is the same as of the whole
//! file. Read first: `src/config/quick.rs`.

use super::common::text;
use kalived::config::model::Config;
use kalived::config::quick::without_servers;
use proptest::prelude::*;
use std::path::Path;

/// The same start from both.
fn compare(file: &str) -> Option<()> {
    let reduced = without_servers(file)?;
    assert_eq!(reduced.lines().count(), file.lines().count());
    let (whole, part) = (text(file), text(&reduced));
    // As `tools::read_quickly`.
    if part.fatal().is_some() || part.torn().is_some() || part.config.instances.is_empty() {
        return None;
    }
    let lvs = (&part.config.virtual_servers, &part.config.server_groups, &part.config.ssl);
    if reduced.contains("track_virtual_server") || !(lvs.0.is_empty() && lvs.1.is_empty() && lvs.2.is_none()) {
        return None;
    }
    assert_eq!(whole.fatal(), None, "{file}\n{}", whole.render(false));
    let routers = Config { virtual_servers: Vec::new(), server_groups: Vec::new(), ..whole.config };
    assert_eq!(routers, part.config, "{file}");
    Some(())
}

#[test]
fn the_files_of_the_tests_start_as_before() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let (mut all, mut quick) = (0, 0);
    for folder in ["corpus", "seed", "."] {
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "conf") {
                let file = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                all += 1;
                quick += usize::from(compare(&file).is_some());
            }
        }
    }
    assert!(quick > 5, "{quick} of {all}");
}

const FILE: &str = "\
global_defs {
  router_id a
}
vrrp_instance a {
  interface eth0
  virtual_router_id 1
  virtual_ipaddress {
    10.0.0.1/24
  }
}
virtual_server_group g {
  10.0.0.1 80
  fwmark 7
}
virtual_server group g {
  lb_algo rr
  lb_kind DR
  protocol TCP
  ha_suspend
  quorum 1
  quorum_up \"/bin/x y\"
  sorry_server 10.0.0.9 80
  real_server 10.0.0.2 80 {
    weight 2
    inhibit_on_failure
    HTTP_GET {
      url {
        path /
        status_code 200
      }
      connect_port 81
      retry 2
    }
    MISC_CHECK { misc_path /bin/true }
  }
  real_server 10.0.0.3 80 {
    DNS_CHECK {
      name x.org
    }
    UDP_CHECK {
      payload 00
      require_reply 00
    }
    FILE_CHECK {
      track_file f
    }
  }
}
vrrp_script s {
  script /bin/true
}
";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    // One word or one line less, one brace more or less, words in other places: it is the same start, or the whole file is read.
    #[test]
    fn a_file_with_mistakes_starts_as_before(
        edits in prop::collection::vec((0usize..60, 0usize..6, 0usize..4), 0..4),
    ) {
        let mut lines: Vec<String> = FILE.lines().map(str::to_owned).collect();
        for (at, what, word) in edits {
            let at = at % lines.len();
            let words: Vec<String> = lines[at].split(' ').map(str::to_owned).collect();
            match what {
                0 => drop(lines.remove(at)),
                1 => {
                    let full: Vec<&String> = words.iter().filter(|w| !w.is_empty()).collect();
                    let kept = full.iter().enumerate().filter(|(n, _)| *n != word).map(|(_, w)| w.as_str());
                    lines[at] = kept.collect::<Vec<_>>().join(" ");
                }
                2 => lines[at].push_str([" {", " }", "}", "\""][word]),
                3 => {
                    let line = lines[at].clone();
                    lines.insert((at + word * 7) % lines.len(), line);
                }
                4 => {
                    let next = lines.get(at + 1).cloned().unwrap_or_default();
                    lines[at].push_str(&format!(" {next}"));
                    if at + 1 < lines.len() { lines.remove(at + 1); }
                }
                _ => lines[at] = lines[at].replace("80", ["", "x", "99999", "$P"][word]),
            }
        }
        compare(&(lines.join("\n") + "\n"));
    }
}

#[test]
fn the_sample_is_started_quickly() {
    assert_eq!(compare(FILE), Some(()));
}
