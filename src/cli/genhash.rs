//! `kalived genhash`, and kalived called as `genhash`: the MD5 digest of a page, for `digest` of HTTP_GET and SSL_GET.
//!
//! Options and output are keepalived's. Two differences: when nothing could be fetched, the reason goes to standard error and the exit code
//! is 1 (keepalived's genhash writes it to standard output and exits with 0); without `-t` it waits 30 s, not for over an hour.
//! The digest is that of the bytes behind the header, up to `Content-Length` or the end, as the checks take it.

use crate::exit::ExitCode;
use crate::process::tls::{Common, Tls};
use crate::sys::{clock, socket};
use md5::{Digest, Md5};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// The time limit without `-t`.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest header, and longest body.
const HEADER: usize = 64 << 10;
const BODY: usize = 64 << 20;

const USAGE: &str = "\
Usage: genhash COMMAND [OPTIONS]
Commands:
   -s server-address -p port -u url
   -S -s server-address -p port -u url
   -h

Options:
Either long or short options are allowed.
   --use-ssl         -S       Use SSL connection to remote server.
   --use-sni         -I       Use SNI during SSL handshake (uses virtualhost setting; see -V).
   --server          -s       Use the specified remote server address.
   --port            -p       Use the specified remote server port.
   --url             -u       Use the specified remote server url.
   --use-virtualhost -V       Use the specified virtualhost in GET query.
   --verbose         -v       Use verbose mode output.
   --help            -h       Display this short inlined help screen.
   --fwmark          -m       Use the specified FW mark.
   --protocol        -P       Use the specified HTTP protocol - '1.0', 1.0c', '1.1'.
                                1.0c means 1.0 with 'Connection: close'
   --timeout         -t       Timeout in seconds
";

/// Options: short, long, whether a value follows.
const OPTIONS: [(char, &str, bool); 11] = [
    ('S', "use-ssl", false),
    ('I', "use-sni", false),
    ('s', "server", true),
    ('p', "port", true),
    ('u', "url", true),
    ('V', "use-virtualhost", true),
    ('v', "verbose", false),
    ('h', "help", false),
    ('m', "fwmark", true),
    ('P', "protocol", true),
    ('t', "timeout", true),
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    to: SocketAddr,
    url: String,
    tls: bool,
    sni: bool,
    host: Option<String>,
    verbose: bool,
    mark: u32,
    version: &'static str,
    close: bool,
    limit: Duration,
}

/// Does what the words ask for; they come after the command's name.
pub fn main(words: &[String]) -> ExitCode {
    let job = match parse(words) {
        Ok(job) => job,
        Err(why) => {
            let _ = write!(io::stderr(), "{}{USAGE}", why.map_or_else(String::new, |w| format!("{w}\n")));
            return ExitCode::Fatal;
        }
    };
    let begin = clock::mono();
    let (text, done) = match fetch(&job) {
        Ok(bytes) => answer(&bytes, job.verbose),
        Err(why) => Err(why),
    }
    .map_or_else(|why| (why, false), |text| (text, true));
    let time = match job.verbose {
        true => {
            format!("\nGlobal response time for [{}] = {} usecs\n", job.url, clock::mono().since(begin).as_micros())
        }
        false => String::new(),
    };
    // Who has closed the output wants no more of it.
    if done {
        let _ = write!(io::stdout(), "{text}{time}");
        ExitCode::Ok
    } else {
        let _ = write!(io::stderr(), "{text}\n{time}");
        ExitCode::Fatal
    }
}

// A long option, or the beginning of the only one that begins so, as getopt_long(3) has it; and whether a value follows.
fn long_option(name: &str) -> Result<(char, bool), Option<String>> {
    let mut found = OPTIONS.iter().filter(|(_, long, _)| long.starts_with(name));
    let whole = OPTIONS.iter().find(|(_, long, _)| *long == name);
    match (whole.or(found.next()), found.next()) {
        (Some((short, _, takes)), None) => Ok((*short, *takes)),
        (Some((short, long, takes)), Some(_)) if *long == name => Ok((*short, *takes)),
        (Some(_), Some(_)) => Err(Some(format!("option --{name} is ambiguous"))),
        (None, _) => Err(Some(format!("unknown option --{name}"))),
    }
}

// The error is what is to be said before the usage.
fn parse(words: &[String]) -> Result<Job, Option<String>> {
    let (mut server, mut port, mut url, mut host) = (None, None, None, None);
    let (mut tls, mut sni, mut verbose, mut mark, mut protocol, mut limit) =
        (false, false, false, 0, "1.0".to_owned(), LIMIT);
    let mut set = |name: char, value: &str| -> Result<(), Option<String>> {
        let number = |what: &str, most: u64| {
            value
                .parse::<u64>()
                .ok()
                .filter(|n| *n <= most)
                .ok_or_else(|| Some(format!("{what} `{value}`: a number up to {most}")))
        };
        match name {
            'S' => tls = true,
            'I' => sni = true,
            'v' => verbose = true,
            's' if value == "localhost" => return Err(Some("server should be an IP, not localhost".to_owned())),
            's' => {
                let addr = value.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
                server = Some(addr.map_err(|_| Some(format!("server `{value}` should be an IP")))?);
            }
            'p' => port = Some(number("port", 65_535)?),
            'u' => url = Some(value.to_owned()),
            'V' => host = Some(value.to_owned()),
            'm' => mark = number("fwmark", u64::from(u32::MAX))?,
            'P' => protocol = value.to_ascii_lowercase(),
            't' => limit = Duration::from_secs(number("timeout", 86_400)?),
            _ => return Err(None),
        }
        Ok(())
    };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v.to_owned())));
            let (short, takes) = long_option(name)?;
            let value = match (takes, value) {
                (true, None) => rest.next().cloned().ok_or_else(|| Some(format!("--{name} needs a value")))?,
                (true, Some(value)) => value,
                (false, _) => String::new(),
            };
            set(short, &value)?;
            continue;
        }
        let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) else {
            return Err(Some(format!("unexpected `{word}`")));
        };
        for (at, letter) in letters.char_indices() {
            let Some((_, _, takes)) = OPTIONS.iter().find(|(s, ..)| *s == letter) else {
                return Err(Some(format!("unknown option -{letter}")));
            };
            if !takes {
                set(letter, "")?;
                continue;
            }
            let after = &letters[at + letter.len_utf8()..];
            match after.is_empty() {
                true => {
                    let value = rest.next().ok_or_else(|| Some(format!("-{letter} needs a value")))?;
                    set(letter, value)?;
                }
                false => set(letter, after)?,
            }
            break;
        }
    }
    let (version, close) = match &*protocol {
        "1.0" => ("1.0", false),
        "1.0c" => ("1.0", true),
        "1.1" => ("1.1", true),
        _ => return Err(Some(format!("protocol `{protocol}`: 1.0, 1.0c or 1.1"))),
    };
    let (Some(server), Some(port), Some(url)) = (server, port, url) else { return Err(None) };
    // keepalived's genhash sends blanks as they are, and so do its checks.
    for text in [Some(&url), host.as_ref()].into_iter().flatten() {
        if text.is_empty() || text.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err(Some(format!("a control character in {text:?}")));
        }
    }
    let to = SocketAddr::new(server, u16::try_from(port).unwrap_or(0));
    let mark = u32::try_from(mark).unwrap_or(0);
    Ok(Job { to, url, tls, sni, host, verbose, mark, version, close, limit })
}

fn request(job: &Job) -> String {
    let host = job.host.clone().unwrap_or_else(|| job.to.to_string());
    let close = if job.close { "Connection: close\r\n" } else { "" };
    format!("GET {} HTTP/{}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host}\r\n\r\n", job.url, job.version)
}

// All that the server says.
fn fetch(job: &Job) -> Result<Vec<u8>, String> {
    let end = clock::mono() + job.limit;
    // A timeout of nothing is none to the system.
    let left = || end.since(clock::mono()).max(Duration::from_millis(1));
    let mut stream = socket::connect_within(job.to, job.mark, left()).map_err(|e| format!("Connection failed: {e}"))?;
    let mut tls = match job.tls {
        true => {
            let name = job.host.as_deref().filter(|_| job.sni);
            let common = Common::new(&Default::default(), false)?;
            Some(Tls::new(&common, name, job.to.ip())?)
        }
        false => None,
    };
    let limited = |stream: &TcpStream| -> io::Result<()> {
        stream.set_read_timeout(Some(left()))?;
        stream.set_write_timeout(Some(left()))
    };
    let (mut said, mut buf) = (Vec::new(), vec![0; 16 << 10]);
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "Timeout WEB read".to_owned(),
        _ => format!("Read error with the server: {e}"),
    };
    let mut hello = match &mut tls {
        None => request(job).into_bytes(),
        Some(tls) => tls.outgoing(),
    };
    loop {
        limited(&stream).map_err(failed)?;
        stream.write_all(&hello).map_err(failed)?;
        hello.clear();
        if clock::mono() >= end {
            return Err("Timeout WEB read".to_owned());
        }
        let n = match stream.read(&mut buf) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // Without a farewell; what has come counts.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset && !said.is_empty() => 0,
            n => n.map_err(failed)?,
        };
        match &mut tls {
            _ if n == 0 => break,
            None => said.extend_from_slice(&buf[..n]),
            Some(tls) => {
                let fed = tls.feed(&buf[..n]).map_err(|why| format!("SSL handshake/communication error: {why}"))?;
                if fed.connected {
                    tls.say(request(job).as_bytes())?;
                }
                hello = tls.outgoing();
                said.extend_from_slice(&fed.plain);
                if fed.end {
                    break;
                }
            }
        }
        if said.len() > BODY || is_whole(&said) {
            break;
        }
    }
    Ok(said)
}

// Behind the header.
fn end_of_header(said: &[u8]) -> Option<usize> {
    let head = &said[..said.len().min(HEADER)];
    memchr::memmem::find(head, b"\r\n\r\n").map(|at| at + 4)
}

fn content_length(header: &[u8]) -> Option<usize> {
    let lines = header.split(|b| *b == b'\n').filter_map(|l| l.split_once_colon());
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
    core::str::from_utf8(lengths.next()?.1.trim_ascii()).ok()?.parse().ok()
}

trait Colon {
    fn split_once_colon(&self) -> Option<(&[u8], &[u8])>;
}
impl Colon for [u8] {
    fn split_once_colon(&self) -> Option<(&[u8], &[u8])> {
        let at = memchr::memchr(b':', self)?;
        Some((&self[..at], &self[at + 1..]))
    }
}

fn is_whole(said: &[u8]) -> bool {
    let Some(end) = end_of_header(said) else { return said.len() >= HEADER };
    content_length(&said[..end]).is_some_and(|n| said.len() - end >= n)
}

// What is printed of all that a server said.
fn answer(said: &[u8], verbose: bool) -> Result<String, String> {
    let Some(end) = end_of_header(said) else {
        return Err(
            if said.is_empty() { "Read, no data received from the server" } else { "no whole HTTP header" }.to_owned()
        );
    };
    let (header, rest) = said.split_at(end);
    let body = &rest[..rest.len().min(content_length(header).unwrap_or(usize::MAX))];
    if body.len() > BODY {
        return Err("a body of more than 64 MiB".to_owned());
    }
    let digest: [u8; 16] = Md5::digest(body).into();
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    if !verbose {
        return Ok(format!("{hex}\n"));
    }
    let mut out = String::new();
    out.push_str("-----------------------[    HTTP Header Buffer    ]-----------------------\n");
    dump(&mut out, header);
    out.push_str("-----------------------[ HTTP Header Ascii Buffer ]-----------------------\n");
    out.push_str(&String::from_utf8_lossy(header));
    out.push('\n');
    if !body.is_empty() {
        out.push_str("-----------------------[        HTML Buffer        ]-----------------------\n");
        dump(&mut out, body);
    }
    out.push_str("\n-----------------------[    HTML hash resulting    ]-----------------------\n");
    dump(&mut out, &digest);
    out.push_str("-----------------------[ HTML hash final resulting ]-----------------------\n");
    out.push_str(&hex);
    out.push('\n');
    Ok(out)
}

// Sixteen bytes a line, in hexadecimal and as text.
fn dump(out: &mut String, bytes: &[u8]) {
    for (n, line) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "{:04}  ", n * 16);
        for i in 0..16 {
            match line.get(i) {
                Some(b) => drop(write!(out, "{b:02x} ")),
                None => out.push_str("   "),
            }
            if i == 7 {
                out.push_str("- ");
            }
        }
        out.push_str("  ");
        out.extend((0..16).map(|i| match line.get(i) {
            Some(b @ 32..=126) => char::from(*b),
            Some(_) => '.',
            None => ' ',
        }));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn options_as_keepalived_has_them() {
        let job = parse(&words("-s 127.0.0.1 -p 80 -u /a")).unwrap();
        assert_eq!(request(&job), "GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 127.0.0.1:80\r\n\r\n");
        let job = parse(&words("-vS --server=::1 --port 443 -u/a -P 1.0C -V www.example -m 7 -t 3")).unwrap();
        assert!(job.verbose && job.tls && job.mark == 7 && job.limit == Duration::from_secs(3));
        assert_eq!(
            request(&job),
            "GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: www.example\r\n\r\n"
        );
        for bad in
            ["", "-h", "-s localhost -p 80 -u /", "-s 1.2.3.4 -p 99999 -u /", "-s 1.2.3.4 -u /", "-x", "--frob", "-s"]
        {
            assert!(parse(&words(bad)).is_err(), "{bad}");
        }
    }

    // As getopt_long(3), and as Debian's genhash sends it.
    #[test]
    fn long_options_may_be_shortened_and_a_url_may_have_a_blank() {
        let job = parse(&words("--serv 127.0.0.1 --po=80 --ur /a --use-v h --verb --use-ss")).unwrap();
        assert!(job.verbose && job.tls && !job.sni && job.host.as_deref() == Some("h"));
        for bad in [
            "--use-s --serv 1.2.3.4 --po 80 --ur /",
            "--p 80 --serv 1.2.3.4 --ur /",
            "-- --serv 1.2.3.4 --po 80 --ur /",
        ] {
            assert!(parse(&words(bad)).is_err(), "{bad}");
        }
        let all = ["-s", "127.0.0.1", "-p", "80", "-u", "/a b"].map(str::to_owned);
        assert!(request(&parse(&all).unwrap()).starts_with("GET /a b HTTP/1.0\r\n"));
        assert!(parse(&all.map(|w| w.replace(' ', "\r"))).is_err());
    }

    #[test]
    fn a_digest_is_that_of_the_body_and_a_body_ends_where_its_header_says() {
        let said = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\nmore";
        assert_eq!(answer(said, false).unwrap(), "b1946ac92492d2347c6235b4d2611184\n");
        assert!(answer(b"", false).is_err() && answer(b"HTTP/1.1 200 OK\r\n", false).is_err());
        assert!(is_whole(said) && !is_whole(&said[..40]) && !is_whole(b"HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn details_are_dumped_in_lines_of_sixteen() {
        let mut out = String::new();
        dump(&mut out, b"hello\n");
        assert_eq!(out, "0000  68 65 6c 6c 6f 0a       -                           hello.          \n");
        out.clear();
        dump(&mut out, &[0x41; 32]);
        assert!(out.ends_with("AAAAAAAAAAAAAAAA\n") && out.lines().nth(1).is_some_and(|l| l.starts_with("0016  41 ")));
    }
}
