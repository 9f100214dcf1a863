// Package portmaster answers the calls of django-portmaster 0.0.1, below
// /v1/services, with its bodies, status codes and error messages.
//
//	service    a range of TCP ports, with a description
//	offer      a lease of kind session with a secret: it runs out unless it is
//	           accepted. The store has the secret's hash only
//	port       any other lease of the range. An accepted offer is a manual lease
//	           whose holder has the name that was asked for
//
// Truth is in the ranges and leases, which the lease manager keeps. What they do
// not say of an offer, the hash of its secret and when it was made or accepted, is
// in a note of the adapter's own:
//
//	offers/<host>/<lease id>
//
// It is written and deleted in the batch that makes, passes on or ends the lease.
// The note of a lease that ended in another way says nothing, since the id of a
// lease is never used again, and is swept away.
package portmaster
