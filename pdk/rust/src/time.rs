//! The two forms of a time that cross the wall, in milliseconds since 1970.

/// Reads a time such as 2026-01-02T03:04:05.678Z (RFC 3339).
pub fn rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut day = date.splitn(3, '-').map(number);
    let days = days(day.next()??, day.next()??, day.next()??)?;
    let at = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at(at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let millis = number(&format!("{fraction:0<3}")[..3])?;
    let offset = match zone.split_at(1) {
        ("Z", "") => 0,
        (sign, hours) => {
            let (hour, minute) = hours.split_once(':')?;
            let minutes = number(hour)? * 60 + number(minute)?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    Some(days * 86_400_000 + clock(time)? + millis - offset * 60_000)
}

/// Reads a time such as Fri, 02 Jan 2026 03:04:05 GMT (RFC 9110, section 5.6.7).
pub fn http_date(text: &str) -> Option<i64> {
    let mut words = text.strip_suffix(" GMT")?.split_once(", ")?.1.split(' ');
    let day = number(words.next()?)?;
    let month = words.next()?;
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].iter().position(|&m| m == month)? as i64 + 1;
    let year = number(words.next()?)?;
    Some(days(year, month, day)? * 86_400_000 + clock(words.next()?)?)
}

fn number(digits: &str) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Milliseconds of a time of day, such as 03:04:05.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    (hour < 24 && minute < 60 && second < 61).then_some(((hour * 60 + minute) * 60 + second) * 1000)
}

/// Days since 1970 in the Gregorian calendar, counted in years that begin in March.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9999 {
        return None;
    }
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339("2026-01-02T03:04:05Z"), Some(1_767_323_045_000));
        assert_eq!(rfc3339("2026-01-02T04:04:05.678901+01:00"), Some(1_767_323_045_678));
        assert_eq!(rfc3339("2024-02-29T23:59:59.9Z"), Some(1_709_251_199_900));
        assert_eq!(http_date("Fri, 02 Jan 2026 03:04:05 GMT"), Some(1_767_323_045_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "T", "2026-01-02", "2026-13-02T03:04:05Z", "2026-01-02T25:04:05Z", "2026-01-02T03:04Z", "2026-01-02T03:04:05", "2026-01-02T03:04:05é", "-1-1-1T0:0:0Z"] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
        for text in ["", "soon", "Fri, 02 Jan 2026 03:04:05", "Fri, 02 Jun", "Fri, 02 Foo 2026 03:04:05 GMT"] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
