package descriptor

import (
	"strings"
	"unicode/utf8"
)

// maxName is the most characters of a name.
const maxName = 128

// nameProblem says why a name of a distribution, version, process, profile or
// range cannot be one; empty where it can. Such names become folders, parts
// of keys and words of a command line.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case utf8.RuneCountInString(name) > maxName:
		return "is longer than 128 characters"
	case name == "." || name == "..":
		return "is not a name"
	}
	for _, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && !(c >= '0' && c <= '9') && !strings.ContainsRune("._-", c) {
			return "has a character other than letters, digits, \".\", \"_\" and \"-\""
		}
	}
	return ""
}

// IsName reports whether a text can be the name of a distribution, version,
// process, profile or range: it is a single part of a path and of a key.
func IsName(text string) bool { return nameProblem(text) == "" }

// nearest returns the candidate that word is most likely meant to be: the
// same but for case, or at most two letters away and fewer than half its
// letters. Empty where none is near.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 3
	for _, c := range candidates {
		if strings.EqualFold(word, c) {
			return c
		}
		if len(word) > len(c)+2 { // too far, and perhaps very long
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance && 2*d < len(c) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of bytes to insert, remove, replace or swap with
// their neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
