package shell

import (
	"fmt"
	"time"
)

// maxOfferTTL is a year, which is longer than anybody waits.
const maxOfferTTL = 365 * 24 * time.Hour

// offerTTL is how long an offer can be accepted.
type offerTTL time.Duration

// UnmarshalText reads a time as 30m.
func (d *offerTTL) UnmarshalText(text []byte) error {
	parsed, err := OfferTTL(string(text))
	*d = offerTTL(parsed)
	return err
}

// OfferTTL reads how long an offer can be accepted: from a second to a year.
func OfferTTL(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxOfferTTL {
		return 0, fmt.Errorf("%q is not a time from 1s to 8760h, as 10m", text)
	}
	return d, nil
}
