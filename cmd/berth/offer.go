package main

import (
	"fmt"
	"os"

	"berth/shell"
)

// setOfferTTL takes how long offers can be accepted from the options, or else from
// the environment.
func (d *daemon) setOfferTTL(o shell.ServeOptions) (err error) {
	d.offerTTL = o.OfferTTL
	if text := os.Getenv("BERTH_OFFER_TTL"); d.offerTTL == 0 && text != "" {
		if d.offerTTL, err = shell.OfferTTL(text); err != nil {
			return fmt.Errorf("BERTH_OFFER_TTL: %w", err)
		}
	}
	return nil
}
