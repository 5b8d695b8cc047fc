package envelope

import "bytes"

// parseTime reads an RFC 3339 time as microseconds since the Unix epoch, UTC:
// either case of T and Z, any number of fraction digits (cut to microseconds),
// second 60 as the start of the next minute, offsets below 24 hours.
func parseTime(b []byte) (micros int64, ok bool) {
	if len(b) < len("2006-01-02T15:04:05Z") {
		return 0, false
	}
	year, ok1 := twoDigits(b[0:])
	cent, ok2 := twoDigits(b[2:])
	year = year*100 + cent
	month, ok3 := twoDigits(b[5:])
	day, ok4 := twoDigits(b[8:])
	hour, ok5 := twoDigits(b[11:])
	minute, ok6 := twoDigits(b[14:])
	second, ok7 := twoDigits(b[17:])
	switch {
	case !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || !ok7:
		return 0, false
	case b[4] != '-' || b[7] != '-' || b[10]|0x20 != 't' || b[13] != ':' || b[16] != ':':
		return 0, false
	case month < 1 || month > 12 || day < 1 || day > daysIn(year, month), hour > 23 || minute > 59 || second > 60:
		return 0, false
	}
	rest, fraction := b[19:], int64(0)
	if rest[0] == '.' {
		if fraction, rest, ok = microsOf(rest[1:]); !ok {
			return 0, false
		}
	}
	if second == 60 {
		fraction = 0
	}
	offset, ok := zone(rest)
	if !ok {
		return 0, false
	}
	seconds := daysSinceEpoch(year, month, day)*86400 + hour*3600 + minute*60 + second - offset
	return seconds*1_000_000 + fraction, true
}

func twoDigits(b []byte) (int64, bool) {
	if !isDigit(b[0]) || !isDigit(b[1]) {
		return 0, false
	}
	return int64(b[0]-'0')*10 + int64(b[1]-'0'), true
}

// microsOf reads the digits of a fraction of a second.
func microsOf(b []byte) (micros int64, rest []byte, ok bool) {
	i, unit := 0, int64(100_000)
	for ; i < len(b) && isDigit(b[i]); i++ {
		micros += int64(b[i]-'0') * unit
		unit /= 10
	}
	return micros, b[i:], i > 0
}

// zone reads Z or an offset, in seconds east of UTC.
func zone(b []byte) (int64, bool) {
	if len(b) == 1 {
		return 0, b[0]|0x20 == 'z'
	}
	if len(b) != len("+00:00") || b[0] != '+' && b[0] != '-' || b[3] != ':' {
		return 0, false
	}
	h, ok1 := twoDigits(b[1:])
	m, ok2 := twoDigits(b[4:])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	if b[0] == '-' {
		return -(h*3600 + m*60), true
	}
	return h*3600 + m*60, true
}

func daysIn(year, month int64) int64 {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4 || month == 6 || month == 9 || month == 11:
		return 30
	}
	return 31
}

// daysSinceEpoch counts days of the proleptic Gregorian calendar from
// 1970-01-01. Years start in March here, so that leap days come last.
func daysSinceEpoch(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	leaps := floorDiv(year, 4) - floorDiv(year, 100) + floorDiv(year, 400)
	return 365*year + leaps + (153*(month-3)+2)/5 + day - 1 - 719468
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// parseTraceparent reads the W3C trace context header: trace id and span id,
// lower-case hex, not all zeros. A later version may go on after a dash.
func parseTraceparent(b []byte) (traceID, spanID []byte, ok bool) {
	const size = len("00-00000000000000000000000000000000-0000000000000000-00")
	if len(b) < size || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return nil, nil, false
	}
	version := string(b[:2])
	if len(b) > size && (version == "00" || b[size] != '-') || version == "ff" {
		return nil, nil, false
	}
	traceID, spanID = b[3:35], b[36:52]
	for _, part := range [][]byte{b[:2], traceID, spanID, b[53:55]} {
		for _, c := range part {
			if !isDigit(c) && (c < 'a' || c > 'f') {
				return nil, nil, false
			}
		}
	}
	zero := []byte("00000000000000000000000000000000")
	return traceID, spanID, !bytes.Equal(traceID, zero) && !bytes.Equal(spanID, zero[:16])
}
