package envelope

import (
	"math"
	"strconv"
	"unsafe"
)

// decimalForm is a JSON number taken apart: digits.fraction * 10^exp.
type decimalForm struct {
	digits   []byte
	fraction []byte
	exp      int64
	negative bool
}

// isNumber reports whether b is exactly one JSON number. With leadingZeros it
// also takes numbers such as 0007.
func isNumber(b []byte, leadingZeros bool) bool {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i == len(b) || !isDigit(b[i]) {
		return false
	}
	for leadingZeros && i+1 < len(b) && b[i] == '0' && isDigit(b[i+1]) {
		i++
	}
	s := scanner{buf: b, pos: i}
	return s.number() && s.pos == len(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// maxExp bounds exponents. No event is long enough for digits that bring a
// number with a larger one back into any range.
const maxExp = 1 << 40

func takeApart(b []byte) decimalForm {
	var d decimalForm
	i := 0
	if b[0] == '-' {
		d.negative = true
		i++
	}
	from := i
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	d.digits = b[from:i]
	if i < len(b) && b[i] == '.' {
		i++
		from = i
		for i < len(b) && isDigit(b[i]) {
			i++
		}
		d.fraction = b[from:i]
	}
	if i < len(b) { // e or E
		i++
		negative := b[i] == '-'
		if b[i] == '-' || b[i] == '+' {
			i++
		}
		for ; i < len(b); i++ {
			d.exp = min(d.exp*10+int64(b[i]-'0'), maxExp)
		}
		if negative {
			d.exp = -d.exp
		}
	}
	return d
}

func (d *decimalForm) len() int { return len(d.digits) + len(d.fraction) }

func (d *decimalForm) at(i int) byte {
	if i < len(d.digits) {
		return d.digits[i] - '0'
	}
	return d.fraction[i-len(d.digits)] - '0'
}

// leadingZeros counts the zeros before the first other digit, in digits and
// fraction together.
func (d *decimalForm) leadingZeros() int {
	n := 0
	for n < d.len() && d.at(n) == 0 {
		n++
	}
	return n
}

// scaled returns the number times 10^places, rounded half to even, if its
// integer part has at most maxDigits digits.
func (d *decimalForm) scaled(places int64, maxDigits int) (n int64, ok bool) {
	// The integer part of the result has the first `keep` digits, and zeros
	// after them where keep is more than there are.
	keep := int64(len(d.digits)) + d.exp + places
	first := d.leadingZeros()
	if first == d.len() {
		return 0, true
	}
	if keep-int64(first) > int64(maxDigits) {
		return 0, false
	}
	for i := int64(first); i < keep; i++ {
		n *= 10
		if i < int64(d.len()) {
			n += int64(d.at(int(i)))
		}
	}
	if keep < int64(d.len()) {
		half, rest := byte(0), false
		if keep >= 0 {
			half = d.at(int(keep))
		}
		for i := max(keep+1, 0); i < int64(d.len()); i++ {
			rest = rest || d.at(int(i)) != 0
		}
		if half > 5 || half == 5 && (rest || n%2 == 1) {
			n++
		}
	}
	if d.negative {
		n = -n
	}
	return n, true
}

// parseInteger reads a JSON number that is an integer in the range of int64.
func parseInteger(b []byte) (int64, bool) {
	if n, ok := smallInteger(b); ok {
		return n, true
	}
	d := takeApart(b)
	ones := int64(len(d.digits)) + d.exp // digits before the point
	var n uint64
	for i := range int64(d.len()) {
		digit := uint64(d.at(int(i)))
		switch {
		case i >= ones && digit != 0:
			return 0, false // a fraction
		case i >= ones:
			continue
		case n > (math.MaxInt64+1-digit)/10:
			return 0, false
		}
		n = n*10 + digit
	}
	for i := int64(d.len()); i < ones && n != 0; i++ {
		if n > (math.MaxInt64+1)/10 {
			return 0, false
		}
		n *= 10
	}
	if d.negative {
		return -int64(n), true // n is at most 2^63 here
	}
	return int64(n), n <= math.MaxInt64
}

// smallInteger is the way of nearly every integer: up to 18 plain digits.
func smallInteger(b []byte) (int64, bool) {
	i, n := 0, int64(0)
	if b[0] == '-' {
		i = 1
	}
	if len(b)-i == 0 || len(b)-i > 18 {
		return 0, false
	}
	for _, c := range b[i:] {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if i == 1 {
		n = -n
	}
	return n, true
}

// shortNumber is the length up to which strconv reads every JSON number right.
const shortNumber = 64

// parseDouble reads a JSON number times 10^shift in the range of a double.
func parseDouble(b []byte, shift int64) (float64, bool) {
	var buf [2 * shortNumber]byte
	if shift != 0 || len(b) > shortNumber {
		b = appendNormal(buf[:0], b, shift)
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	return f, err == nil
}

// appendNormal appends a JSON number times 10^shift as 0.<digits>e<exponent>,
// without zeros in front. strconv loses digits before the point past the 800th,
// and the end of exponents of more than five digits: it reads 1 followed by 900
// zeros and e-900 as 1e-101.
func appendNormal(dst, b []byte, shift int64) []byte {
	d := takeApart(b)
	first := d.leadingZeros()
	if d.negative {
		dst = append(dst, '-')
	}
	dst = append(dst, "0."...)
	for i := first; i < d.len(); i++ {
		dst = append(dst, '0'+d.at(i))
	}
	if first == d.len() {
		return append(dst, '0')
	}
	dst = append(dst, 'e')
	return strconv.AppendInt(dst, int64(len(d.digits)-first)+d.exp+shift, 10)
}

// parseDecimal9 reads a JSON number as the unscaled value of a decimal(18,9),
// rounded half to even.
func parseDecimal9(b []byte) (int64, bool) {
	d := takeApart(b)
	n, ok := d.scaled(9, 18)
	const limit = 1_000_000_000_000_000_000 // rounding may add a digit
	return n, ok && n < limit && n > -limit
}
