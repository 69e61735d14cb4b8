package store

import "strings"

// nonceLength is the length of the nonce that the owner of a lease ends with: 6 bytes in hex.
const nonceLength = 12

// Worker is the worker that the token's owner belongs to: an owner is <worker>-<nonce>, a token
// [<lane>:]<epoch>-<owner>. An owner of another form is given as it is.
func (t Token) Worker() string {
	text := string(t)
	if _, rest, found := strings.Cut(text, ":"); found {
		text = rest
	}
	_, owner, _ := strings.Cut(text, "-")
	at := len(owner) - nonceLength - 1
	if at > 0 && owner[at] == '-' && strings.Trim(owner[at+1:], "0123456789abcdef") == "" {
		return owner[:at]
	}
	return owner
}
