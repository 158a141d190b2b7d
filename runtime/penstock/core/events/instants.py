"""Unix time as AWS writes it, in UTC. Without the standard library's clock, which the core does without."""

_DAY_S = 86_400
_ERA_DAYS = 146_097
"""Four hundred years, after which the calendar begins again."""
_DAYS_BEFORE_EPOCH = 719_468
"""From the first of March of the year 0 to the first of January 1970."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def iso_seconds(time_ms: int) -> str:
    """Write Unix milliseconds in whole seconds, cut off: `2026-01-31T07:04:00Z`. Takes any number."""
    return f"{_seconds(time_ms // 1000)}Z"


def iso_milliseconds(time_ms: int) -> str:
    """Write Unix milliseconds: `2026-01-31T07:04:00.021Z`. Takes any number."""
    return f"{_seconds(time_ms // 1000)}.{time_ms % 1000:03}Z"


def english(time_s: int) -> str:
    """Write Unix seconds as an American reads them: `Jan 31, 2026, 7:04:00 AM`. Takes any number."""
    year, month, day, second = _parts(time_s)
    hour, second = divmod(second, 3600)
    half = "PM" if hour >= 12 else "AM"
    return f"{_MONTHS[month - 1]} {day}, {year}, {(hour - 1) % 12 + 1}:{second // 60:02}:{second % 60:02} {half}"


def _seconds(time_s: int) -> str:
    year, month, day, second = _parts(time_s)
    hour, second = divmod(second, 3600)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{second // 60:02}:{second % 60:02}"


def _parts(time_s: int) -> tuple[int, int, int, int]:
    """Divide Unix seconds into year, month, day of the month and second of the day."""
    days, second = divmod(time_s, _DAY_S)
    # Years that begin in March have their leap day at the end, so that months begin at fixed days.
    era, day = divmod(days + _DAYS_BEFORE_EPOCH, _ERA_DAYS)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month_from_march = (5 * day + 2) // 153
    day_of_month = day - (153 * month_from_march + 2) // 5 + 1
    month = (month_from_march + 2) % 12 + 1
    year += era * 400 + (month <= 2)
    return year, month, day_of_month, second
