package lease

import "math/bits"

const (
	ports     = MaxPort + 1
	words     = ports / 64
	summaries = words / 64
)

// Bits is a set of ports. Its methods cost the same however many are in it:
// a summary bit for each 64 ports tells whether any of them is there, and a
// top word does the same for the summary. The zero value is the empty set.
type Bits struct {
	top     uint64
	summary [summaries]uint64
	words   [words]uint64
}

// Has reports whether port is in the set.
func (b *Bits) Has(port int) bool {
	return uint(port) < ports && b.words[port>>6]&(1<<(port&63)) != 0
}

func (b *Bits) add(port int) {
	b.words[port>>6] |= 1 << (port & 63)
	b.summary[port>>12] |= 1 << (port >> 6 & 63)
	b.top |= 1 << (port >> 12)
}

// fill adds every port, which 0 is not.
func (b *Bits) fill() {
	for i := range b.words {
		b.words[i] = ^uint64(0)
	}
	for i := range b.summary {
		b.summary[i] = ^uint64(0)
	}
	b.top = 1<<summaries - 1
	b.words[0] &^= 1
}

func (b *Bits) remove(port int) {
	if b.words[port>>6] &^= 1 << (port & 63); b.words[port>>6] != 0 {
		return
	}
	if b.summary[port>>12] &^= 1 << (port >> 6 & 63); b.summary[port>>12] == 0 {
		b.top &^= 1 << (port >> 12)
	}
}

// Next returns the lowest port of the set that is in min..max, inclusive.
func (b *Bits) Next(min, max int) (port int, ok bool) {
	if min < 0 {
		min = 0
	}
	if max > MaxPort {
		max = MaxPort
	}
	if min > max {
		return 0, false
	}
	port, ok = b.from(min)
	return port, ok && port <= max
}

// from returns the lowest port of the set that is not below min.
func (b *Bits) from(min int) (int, bool) {
	w := min >> 6
	if rest := b.words[w] >> (min & 63); rest != 0 {
		return min + bits.TrailingZeros64(rest), true
	}
	s := w >> 6
	// Shifting by 64 gives 0 in Go, so the last bit of a word needs no case of its own.
	if rest := b.summary[s] >> (w&63 + 1); rest != 0 {
		w += 1 + bits.TrailingZeros64(rest)
		return w<<6 + bits.TrailingZeros64(b.words[w]), true
	}
	rest := b.top >> (s + 1)
	if rest == 0 {
		return 0, false
	}
	s += 1 + bits.TrailingZeros64(rest)
	w = s<<6 + bits.TrailingZeros64(b.summary[s])
	return w<<6 + bits.TrailingZeros64(b.words[w]), true
}

// Count is how many ports of the set are in min..max, inclusive.
func (b *Bits) Count(min, max int) int {
	n := 0
	b.each(min, max, func(_ int, word uint64) bool {
		n += bits.OnesCount64(word)
		return true
	})
	return n
}

// Nth returns the port of the set in min..max that has n others of them below it.
func (b *Bits) Nth(min, max, n int) (port int, ok bool) {
	if n < 0 {
		return 0, false
	}
	b.each(min, max, func(base int, word uint64) bool {
		if c := bits.OnesCount64(word); n >= c {
			n -= c
			return true
		}
		for ; n > 0; n-- {
			word &= word - 1
		}
		port, ok = base+bits.TrailingZeros64(word), true
		return false
	})
	return port, ok
}

// Run returns the first of the lowest n ports of the set that follow each other
// in min..max, inclusive; n is at least 1.
func (b *Bits) Run(min, max, n int) (first int, ok bool) {
	before, expected := 0, -1 // ports that follow each other up to the end of the word before
	b.each(min, max, func(base int, word uint64) bool {
		if base != expected {
			before = 0
		}
		expected = base + 64
		if low := bits.TrailingZeros64(^word); before+low >= n {
			first, ok = base-before, true
			return false
		} else if low == 64 {
			before += 64
			return true
		}
		if n < 64 {
			// A bit of starts is one that length ports follow each other from.
			starts := word
			for length := 1; length < n && starts != 0; {
				step := length
				if step > n-length {
					step = n - length
				}
				starts &= starts >> step
				length += step
			}
			if starts != 0 {
				first, ok = base+bits.TrailingZeros64(starts), true
				return false
			}
		}
		before = bits.LeadingZeros64(^word)
		return true
	})
	return first, ok
}

// runs calls f with the first and the last of the ports of the set in min..max
// that follow each other, ascending, until f returns false.
func (b *Bits) runs(min, max int, f func(first, last int) bool) {
	for first, ok := b.Next(min, max); ok; first, ok = b.Next(first, max) {
		last := first
		for last < max && b.Has(last+1) {
			last++
		}
		if !f(first, last) {
			return
		}
		first = last + 1
	}
}

// appendTo appends the ports of the set in min..max to list, ascending.
func (b *Bits) appendTo(list []int, min, max int) []int {
	b.each(min, max, func(base int, word uint64) bool {
		for ; word != 0; word &= word - 1 {
			list = append(list, base+bits.TrailingZeros64(word))
		}
		return true
	})
	return list
}

// each calls f with the words of min..max that have ports, ends cut off, and
// with the port of their lowest bit, until f returns false.
func (b *Bits) each(min, max int, f func(base int, word uint64) bool) {
	if min < 0 {
		min = 0
	}
	if max > MaxPort {
		max = MaxPort
	}
	if min > max {
		return
	}
	for w := min >> 6; w <= max>>6; w++ {
		word := b.words[w]
		if w == min>>6 {
			word &= ^uint64(0) << (min & 63)
		}
		if w == max>>6 {
			word &= ^uint64(0) >> (63 - max&63)
		}
		if word != 0 && !f(w<<6, word) {
			return
		}
	}
}
