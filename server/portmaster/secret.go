package portmaster

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// secret is what an offer is accepted or rejected with: a random UUID
// (RFC 9562, version 4).
type secret [16]byte

func newSecret() secret {
	var s secret
	rand.Read(s[:]) // never fails
	return s.marked()
}

// derived is the secret of an offer that was asked for with an idempotency key.
// Whoever sends the request with its key again gets it again, though it is not
// kept: the salt is, the key is the client's.
func derived(key string, salt []byte) secret {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(salt)
	return secret(mac.Sum(nil)[:16]).marked()
}

// marked has the bits of a random UUID.
func (s secret) marked() secret {
	s[6] = s[6]&0x0f | 0x40
	s[8] = s[8]&0x3f | 0x80
	return s
}

func (s secret) String() string {
	h := hex.EncodeToString(s[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// parseSecret reads a secret, as it was told or in one of the other ways in which
// a UUID is written: in capitals, without its dashes.
func parseSecret(text string) (secret, bool) {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != len(secret{}) {
		return secret{}, false
	}
	return secret(raw), true
}

// digest is what is kept of a secret, which is too random to be guessed from it.
func (s secret) digest() string {
	sum := sha256.Sum256(s[:])
	return hex.EncodeToString(sum[:])
}
