package portmaster

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/lease"
	"berth/store"
)

// Offer is a port that is held for who asked for it, until it is accepted or
// rejected with its secret, or runs out.
type Offer struct {
	Service string `json:"service"`
	Name    string `json:"name"` // of the service's instance that the port is for
	Port    int    `json:"port"`
	Secret  string `json:"secret,omitempty"` // only to who asks for the port, or knows it
	Created string `json:"created"`
}

func (a *Adapter) routeOffers(routes huma.API) {
	const list, one = "/v1/services/{service}/offers", "/v1/services/{service}/offers/{secret}"
	route(a, routes, access.Read, huma.Operation{
		OperationID: "portmaster-list-offers", Method: http.MethodGet, Path: list,
	}, a.listOffers)
	route(a, routes, access.Lease, huma.Operation{
		OperationID: "portmaster-create-offer", Method: http.MethodPost, Path: list,
		DefaultStatus: http.StatusCreated,
	}, a.createOffer)
	route(a, routes, access.Read, huma.Operation{
		OperationID: "portmaster-get-offer", Method: http.MethodGet, Path: one,
	}, a.getOffer)
	for _, op := range []huma.Operation{
		{OperationID: "portmaster-accept-offer", Method: http.MethodPost, Path: one + "/accept"},
		{OperationID: "portmaster-put-offer", Method: http.MethodPut, Path: one},
	} {
		op.DefaultStatus = http.StatusCreated
		route(a, routes, access.Lease, op, a.acceptOffer)
	}
	for _, op := range []huma.Operation{
		{OperationID: "portmaster-reject-offer", Method: http.MethodPost, Path: one + "/reject"},
		{OperationID: "portmaster-delete-offer", Method: http.MethodDelete, Path: one},
	} {
		op.DefaultStatus = http.StatusNoContent
		route(a, routes, access.Lease, op, a.rejectOffer)
	}
}

// OfService, OfSecret and the like are the parts of a path; huma looks into
// exported types only.
type OfService struct {
	Service string `path:"service"`
}

// OfSecret is an offer's.
type OfSecret struct {
	OfService
	Secret string `path:"secret"`
}

// isOffer reports whether a lease is an offer. One that has run out is, until it
// has ended.
func (a *Adapter) isOffer(l lease.Lease) bool {
	n, ok := a.notes.of(l.ID)
	return ok && n.Secret != "" && l.Holder.Kind == lease.Session
}

// isOpen reports whether a lease is an offer that can be accepted.
func (a *Adapter) isOpen(l lease.Lease) bool {
	return a.isOffer(l) && a.opts.Now().Before(l.Holder.Expires)
}

// open returns the offer of a secret, with its note.
func (a *Adapter) open(in *OfSecret) (lease.Lease, note, error) {
	s, ok := parseSecret(in.Secret)
	if !ok {
		return lease.Lease{}, note{}, notFound()
	}
	id, ok := a.notes.secretOf(s)
	if !ok {
		return lease.Lease{}, note{}, notFound()
	}
	n, _ := a.notes.of(id)
	l, err := a.opts.Leases.Lease(id)
	if err != nil || n.Service != in.Service || !a.isOpen(l) {
		return lease.Lease{}, note{}, notFound()
	}
	return l, n, nil
}

func (a *Adapter) listOffers(_ context.Context, in *OfService) (*reply[[]Offer], error) {
	r, err := a.service(in.Service)
	if err != nil {
		return nil, err
	}
	offers := []Offer{}
	for _, active := range r.Active {
		if n, ok := a.notes.of(active.Lease.ID); ok && a.isOpen(active.Lease) {
			offers = append(offers, offerOf(active.Lease, n))
		}
	}
	return &reply[[]Offer]{offers}, nil
}

func offerOf(l lease.Lease, n note) Offer {
	return Offer{Service: n.Service, Name: n.Name, Port: l.Port, Created: created(n.Created)}
}

func (a *Adapter) getOffer(_ context.Context, in *OfSecret) (*reply[Offer], error) {
	l, n, err := a.open(in)
	if err != nil {
		return nil, err
	}
	offer := offerOf(l, n)
	s, _ := parseSecret(in.Secret)
	offer.Secret = s.String()
	return &reply[Offer]{offer}, nil
}

// noted is what is remembered of an offer with an idempotency key.
type noted struct {
	Offer
	Salt []byte `json:"salt"`
}

func (a *Adapter) createOffer(ctx context.Context, in *struct {
	OfService
	Key string `header:"Idempotency-Key"`
	Raw
}) (*reply[Offer], error) {
	r, err := a.service(in.Service)
	if err != nil {
		return nil, err
	}
	f, err := in.form()
	if err != nil {
		return nil, err
	}
	name := f.name("name", true)
	if err := f.err(); err != nil {
		return nil, err
	}
	var offer Offer
	before, err := a.opts.Once(ctx, in.Key, "portmaster-create-offer", [2]string{r.Name, name}, func(try Attempt) (err error) {
		offer, err = a.offer(ctx, r.Name, name, try)
		return err
	})
	if err != nil {
		return nil, err
	}
	if before != nil {
		var n noted
		if err := json.Unmarshal(before.Note, &n); err != nil {
			return nil, err
		}
		offer = n.Offer
		offer.Secret = derived(before.Key, n.Salt).String()
	}
	return &reply[Offer]{offer}, nil
}

// offer has a port of a service offered for a name.
func (a *Adapter) offer(ctx context.Context, service, name string, try Attempt) (Offer, error) {
	if err := a.enter(ctx); err != nil {
		return Offer{}, err
	}
	defer a.leave()
	if id, ok := a.notes.offered(service, name); ok {
		if l, err := a.opts.Leases.Lease(id); err == nil && a.isOpen(l) {
			return Offer{}, wrong(whole, "The fields service, name must make a unique set.")
		}
	}
	s := newSecret()
	var salt []byte
	if try.Key != "" {
		salt = []byte(rand.Text())
		s = derived(try.Key, salt)
	}
	now := a.opts.Now().UTC().Round(0)
	n := note{Service: service, Name: name, Created: now, Secret: s.digest()}
	var planned lease.ID
	extra := func(leases []lease.Lease) store.Batch {
		planned = leases[0].ID
		text, err := json.Marshal(noted{offerOf(leases[0], n), salt})
		if err != nil {
			panic(err) // plain data
		}
		b := try.Record(text)
		n.put(&b, planned)
		return b
	}
	holder := lease.Holder{Kind: lease.Session, Name: name + " (offered)", Owner: a.opts.Owner(ctx), Expires: now.Add(a.opts.TTL)}
	requests := []lease.Request{{Range: service, Protocol: lease.TCP, Holder: holder, Keep: true}}
	var leases []lease.Lease
	err := a.opts.Within(ctx, holder.Owner, requests, func() (err error) {
		leases, err = a.opts.Leases.AcquireWith(ctx, extra, requests...)
		return err
	})
	switch {
	case errors.Is(err, lease.ErrRangeFull):
		return Offer{}, wrong("port", "Port range has been completely utilized.")
	case errors.Is(err, lease.ErrRangeNotFound):
		return Offer{}, notFound()
	case err != nil:
		if planned != "" {
			a.notes.reread(ctx, planned)
		}
		return Offer{}, err
	}
	a.notes.keep(leases[0].ID, n)
	offer := offerOf(leases[0], n)
	offer.Secret = s.String()
	return offer, nil
}

func (a *Adapter) acceptOffer(ctx context.Context, in *OfSecret) (*reply[Port], error) {
	if err := a.enter(ctx); err != nil {
		return nil, err
	}
	defer a.leave()
	l, n, err := a.open(in)
	if err != nil {
		return nil, err
	}
	id := l.ID
	r, err := a.service(in.Service)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(r.Active, func(other lease.ActivePort) bool { return !a.isOffer(other.Lease) && other.Lease.Holder.Name == n.Name }) {
		return nil, &refusal{http.StatusBadRequest, []string{"Service instance with this name already exists."}}
	}
	to := lease.Holder{Kind: lease.Manual, Name: n.Name, Owner: l.Holder.Owner}
	n.Created, n.Secret = a.opts.Now().UTC().Round(0), ""
	var b store.Batch
	n.put(&b, l.ID)
	l, err = a.opts.Leases.Pass(ctx, l.ID, l.Generation, to, b)
	if err != nil {
		a.notes.reread(ctx, id)
		return nil, endRefused(err)
	}
	a.notes.keep(id, n)
	return &reply[Port]{a.portOf(in.Service, l)}, nil
}

func (a *Adapter) rejectOffer(ctx context.Context, in *OfSecret) (*empty, error) {
	if err := a.enter(ctx); err != nil {
		return nil, err
	}
	defer a.leave()
	l, _, err := a.open(in)
	if err != nil {
		return nil, err
	}
	var b store.Batch
	b.Delete(noteKey(l.ID))
	return nil, a.end(ctx, []lease.ID{l.ID}, b)
}

// end ends leases, with their notes.
func (a *Adapter) end(ctx context.Context, ids []lease.ID, notes store.Batch) error {
	err := a.opts.Leases.Recuperate(ctx, ids, notes)
	for _, id := range ids {
		if err != nil {
			a.notes.reread(ctx, id)
		} else {
			a.notes.forget(id)
		}
	}
	return endRefused(err)
}

// endRefused turns an error of a lease's end or change into the answer: what
// somebody else has just ended is not there.
func endRefused(err error) error {
	if errors.Is(err, lease.ErrLeaseNotFound) || errors.Is(err, lease.ErrLeaseChanged) {
		return notFound()
	}
	return err
}
