package schemas

import "strings"

// Nearest gives the candidate that differs least from word by single letters (inserted, left out, changed or swapped; capitals count little), or "" if none is near
// enough to be what was meant.
func Nearest(word string, candidates []string) string {
	best, distance := "", max(len(word)/3+1, 2)
	for _, c := range candidates {
		d := editDistance(strings.ToLower(word), strings.ToLower(c), distance+1)
		if d == 0 && word != c {
			d = 1
		}
		if d < distance || (d == distance && best != "" && c < best) {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is the optimal string alignment distance, cut off at limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 100 || len(b) > 100 {
		return limit
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
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
	}
	return min(row[len(b)], limit)
}
