package harness

import "strings"

// holder is the worker that a lease's token names: [lane:]epoch-worker-nonce.
func holder(token string) string {
	if _, rest, found := strings.Cut(token, ":"); found {
		token = rest
	}
	_, owner, _ := strings.Cut(token, "-")
	worker, _, found := cutLast(owner, "-")
	if !found {
		return owner
	}
	return worker
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
