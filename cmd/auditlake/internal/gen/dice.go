package gen

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// mix is the finaliser of SplitMix64: near inputs give unlike outputs.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// mix2 mixes a key with what it is used for.
func mix2(key, use uint64) uint64 { return mix(key ^ mix(use)) }

// dice are the choices of one session, seeded anew for each.
type dice struct{ rand.PCG }

// below is from 0 to n-1.
func (d *dice) below(n int) int {
	hi, _ := bits.Mul64(d.Uint64(), uint64(n))
	return int(hi)
}

// between is from lo to hi, both included.
func (d *dice) between(lo, hi int) int { return lo + d.below(hi-lo+1) }

// skewed is from 0 to n-1, small numbers more often.
func (d *dice) skewed(n int) int { return min(d.below(n), d.below(n)) }

// hit is true in a share p of cases.
func (d *dice) hit(p float64) bool { return float64(d.Uint64()>>11) < p*(1<<53) }

// pick chooses an index by weight.
func (d *dice) pick(weights []int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	n, i := d.below(sum), 0
	for n >= weights[i] {
		n -= weights[i]
		i++
	}
	return i
}

// spread are quantiles of a log-normal distribution with median 1 and sigma
// 0.55, in thousandths: a table, for functions of floating point may round
// otherwise on another platform.
var spread = [...]int64{
	264, 334, 378, 413, 443, 470, 494, 517, 539, 560, 581, 601, 620,
	639, 658, 676, 695, 713, 731, 749, 768, 786, 804, 823, 842, 860,
	879, 899, 918, 938, 958, 979, 1000, 1021, 1043, 1066, 1089, 1113, 1137,
	1162, 1188, 1215, 1243, 1272, 1303, 1334, 1368, 1403, 1440, 1479, 1520, 1565,
	1613, 1665, 1722, 1785, 1854, 1933, 2024, 2130, 2259, 2422, 2645, 2994, 3791,
}

// around is a time like those that computers take: mostly near the median, at
// times several times as long.
func (d *dice) around(median int64) int64 {
	i, f := d.below(len(spread)-1), int64(d.below(1000))
	q := spread[i] + (spread[i+1]-spread[i])*f/1000
	return max(1, median*q/1000)
}

// milli is a factor in thousandths, for arithmetic that is the same everywhere.
func milli(factor float64) int64 { return int64(math.Round(factor * 1000)) }
