//! When a scheduled reload is due: the text of `reload_time_file`, and the next time that it names.
//!
//! Pure. Times are seconds since 1970, UTC, as `i64`; the time zone is an argument. Deliberately absent: leap seconds, which the system's
//! clock does not count either.

use std::time::{Duration, UNIX_EPOCH};

/// Seconds that local time is ahead of UTC at a moment.
pub type Zone = fn(i64) -> i64;

/// The time of a scheduled reload: a date or each day, and a time of day, local or UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct When {
    // Days since 1970-01-01; `None`: each day.
    date: Option<i64>,
    // Seconds since midnight.
    time: i64,
    utc: bool,
}

impl When {
    /// The content of the file: its first line, `HH:MM:SS` or `[YY]YY-MM-DD HH:MM:SS`, with an optional `Z` for UTC. Exactly so: no
    /// blanks around it, every figure there. `None`: something else. A year of two figures is one of this century.
    pub fn parse(content: &[u8]) -> Option<When> {
        let line = content.split(|b| *b == b'\n').next()?;
        let (line, utc) = match line.strip_suffix(b"Z") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let (date, time) = match line.len() {
            8 => (None, line),
            17 | 19 => {
                let (date, time) = line.split_at_checked(line.len() - 9)?;
                (Some(date), time.strip_prefix(b" ")?)
            }
            _ => return None,
        };
        let [hour, minute, second] = three(time, b':')?;
        // 60 is a leap second; such a moment is the one after it.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let date = match date {
            None => None,
            Some(text) => {
                let [year, month, day] = three(text, b'-')?;
                let year = if text.len() == 8 { 2000 + year } else { year };
                Some(day_of(year, month, day)?)
            }
        };
        Some(When { date, time: hour * 3600 + minute * 60 + second, utc })
    }

    /// Whether it means each day.
    pub fn daily(self) -> bool {
        self.date.is_none()
    }

    /// The first moment after `now` that is meant; `None`: it has passed.
    pub fn next(self, now: i64, zone: Zone) -> Option<i64> {
        let zone: Zone = if self.utc { |_| 0 } else { zone };
        let moment = |day: i64| to_utc(day * DAY + self.time, zone);
        match self.date {
            Some(day) => Some(moment(day)).filter(|t| *t > now),
            None => {
                let today = (now + zone(now)).div_euclid(DAY);
                // The day after tomorrow: for a zone that crosses the date line, so that there is always one.
                (today..=today + 2).map(moment).find(|t| *t > now)
            }
        }
    }
}

const DAY: i64 = 86_400;

// Three numbers of two figures (the first one: two or four) between separators.
fn three(text: &[u8], separator: u8) -> Option<[i64; 3]> {
    let mut parts = text.split(|b| *b == separator);
    let mut number = |long: bool| {
        let part = parts.next()?;
        let fits = part.len() == 2 || long && part.len() == 4;
        (fits && part.iter().all(u8::is_ascii_digit)).then(|| part.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
    };
    let three = [number(separator == b'-')?, number(false)?, number(false)?];
    parts.next().is_none().then_some(three)
}

// Local to UTC. A moment that the clocks skip becomes one next to the gap; of one that happens twice, either is taken.
fn to_utc(local: i64, zone: Zone) -> i64 {
    let guess = local - zone(local);
    local - zone(guess)
}

/// The last second that has a date of four figures.
const LAST: i64 = 253_402_300_799;

/// A moment for people: `2026-11-29 14:32:38`, in local time.
pub fn stamp(seconds: i64, zone: Zone) -> String {
    let local = seconds.saturating_add(zone(seconds)).clamp(0, LAST);
    let at = UNIX_EPOCH + Duration::from_secs(local.unsigned_abs());
    humantime::format_rfc3339_seconds(at).to_string().replace('T', " ").replace('Z', "")
}

// Days since 1970-01-01 of a date of the years 1970 to 9999; `None`: there is no such date.
fn day_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let midnight = humantime::parse_rfc3339_weak(&format!("{year:04}-{month:02}-{day:02} 00:00:00")).ok()?;
    i64::try_from(midnight.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok().map(|s| s / DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2026-11-20 13:00:00 UTC, from date(1).
    const NOW: i64 = 1_795_179_600;

    #[test]
    fn a_moment_in_words() {
        assert_eq!(stamp(NOW, |_| 0), "2026-11-20 13:00:00");
        assert_eq!(stamp(NOW + 59, |_| 3600 * 11), "2026-11-21 00:00:59");
        assert_eq!(stamp(0, |_| -3600), "1970-01-01 00:00:00");
        let _ = stamp(i64::MAX / 1_000_000_000, |_| 0);
    }

    fn berlin(at: i64) -> i64 {
        // Daylight saving time from the last Sunday of March 2026, 01:00 UTC, to that of October.
        if (1_774_746_000..1_792_890_000).contains(&at) { 7200 } else { 3600 }
    }
    fn next(text: &str, now: i64, zone: Zone) -> Option<i64> {
        When::parse(text.as_bytes()).expect(text).next(now, zone)
    }

    #[test]
    fn the_forms_there_are() {
        assert_eq!(next("2026-11-20 13:00:01Z", NOW, berlin), Some(NOW + 1));
        assert_eq!(next("26-11-20 13:00:01Z\nmore", NOW, berlin), Some(NOW + 1));
        assert_eq!(next("2026-11-20 14:00:01", NOW, berlin), Some(NOW + 1));
        assert_eq!(next("2026-11-20 13:00:00Z", NOW, berlin), None, "it has passed");
        assert_eq!(next("13:00:01Z", NOW, berlin), Some(NOW + 1));
        assert_eq!(next("14:00:01", NOW, berlin), Some(NOW + 1));
        assert_eq!(next("14:00:00", NOW, berlin), Some(NOW + DAY), "tomorrow");
        assert_eq!(next("2028-02-29 00:00:00Z", NOW, berlin), Some(1_835_395_200));
        assert!(When::parse(b"00:00:00").is_some_and(When::daily));
        assert!(!When::parse(b"2026-01-01 00:00:00").is_some_and(When::daily));
    }

    #[test]
    fn everything_else_is_refused() {
        for wrong in [
            "",
            " 13:00:00",
            "13:00:00 ",
            "13:00",
            "1:00:00",
            "13:00:00z",
            "24:00:00",
            "13:60:00",
            "13:00:61",
            "13:-1:00",
            "2026-11-20",
            "2026-11-20T13:00:00",
            "2026-11-20  13:00:00",
            "2026-13-20 13:00:00",
            "2026-11-31 13:00:00",
            "2026-02-29 13:00:00",
            "2026-00-20 13:00:00",
            "2026-11-00 13:00:00",
            "1969-01-01 00:00:00",
            "026-11-20 13:00:00",
            "13:00:00:00",
            "13:00:00ZZ",
            "ab:cd:ef",
            "20-6-11-20 13:00:00",
            "２:00:00",
        ] {
            assert_eq!(When::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn each_day_has_its_moment_when_the_clocks_change_too() {
        // 02:30 on the day of the spring change does not exist; in autumn it is there twice.
        for change in [1_774_746_000_i64, 1_792_890_000] {
            let mut at = change - 2 * DAY;
            for _ in 0..4 {
                let then = next("02:30:00", at, berlin).expect("there is one each day");
                assert!(then > at && then - at <= DAY + 7200, "{then} after {at}");
                at = then;
            }
        }
        // Noon is noon before and after.
        let before = next("12:00:00", 1_774_746_000 - DAY, berlin).expect("there is one");
        let after = next("12:00:00", before, berlin).expect("there is one");
        assert_eq!(after - before, DAY - 3600);
    }

    #[test]
    fn dates_are_days() {
        assert_eq!([day_of(1970, 1, 1), day_of(2000, 3, 1)], [Some(0), Some(11_017)]);
        assert_eq!([day_of(2026, 11, 20), day_of(9999, 12, 31)], [Some(NOW / DAY), Some(LAST / DAY)]);
        assert_eq!([day_of(2026, 2, 29), day_of(2000, 13, 1), day_of(1969, 12, 31)], [None; 3]);
        assert_eq!(stamp(i64::MAX, |_| 0), "9999-12-31 23:59:59");
    }
}
