package portmaster

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/lease"
	"berth/store"
)

// Service is a range of TCP ports.
type Service struct {
	Name        string  `json:"name"`
	Description *string `json:"description"`
	Start       int     `json:"start"`
	End         int     `json:"end"`
}

func (a *Adapter) routeServices(routes huma.API) {
	route(a, routes, access.Read, huma.Operation{
		OperationID: "portmaster-list-services", Method: http.MethodGet, Path: "/v1/services",
	}, a.listServices)
	route(a, routes, access.Admin, huma.Operation{
		OperationID: "portmaster-create-service", Method: http.MethodPost, Path: "/v1/services",
		DefaultStatus: http.StatusCreated,
	}, a.createService)
	route(a, routes, access.Read, huma.Operation{
		OperationID: "portmaster-get-service", Method: http.MethodGet, Path: "/v1/services/{name}",
	}, a.getService)
	route(a, routes, access.Admin, huma.Operation{
		OperationID: "portmaster-update-service", Method: http.MethodPut, Path: "/v1/services/{name}",
	}, func(ctx context.Context, in *serviceBody) (*reply[Service], error) {
		return a.updateService(ctx, in, true)
	})
	route(a, routes, access.Admin, huma.Operation{
		OperationID: "portmaster-change-service", Method: http.MethodPatch, Path: "/v1/services/{name}",
	}, func(ctx context.Context, in *serviceBody) (*reply[Service], error) {
		return a.updateService(ctx, in, false)
	})
	route(a, routes, access.Admin, huma.Operation{
		OperationID: "portmaster-delete-service", Method: http.MethodDelete, Path: "/v1/services/{name}",
	}, a.deleteService)
}

// ServiceName is a service's.
type ServiceName struct {
	Name string `path:"name"`
}

type serviceBody struct {
	ServiceName
	Raw
}

// service returns the range that is a service of that name, with its leases.
func (a *Adapter) service(name string) (lease.RangeStatus, error) {
	for _, r := range a.opts.Leases.Ranges(name) {
		if r.Name == name && isService(r.Range) { // a name from a path may be a pattern
			return r, nil
		}
	}
	return lease.RangeStatus{}, notFound()
}

// isService reports whether a range is a service.
func isService(r lease.Range) bool { return r.Protocol == lease.TCP && !r.Ephemeral }

func serviceOf(r lease.Range) Service {
	s := Service{Name: r.Name, Start: r.Min, End: r.Max}
	if r.Description != "" {
		s.Description = &r.Description
	}
	return s
}

func (a *Adapter) listServices(context.Context, *struct{}) (*reply[[]Service], error) {
	services := []Service{}
	for _, r := range a.opts.Leases.Ranges("*") {
		if isService(r.Range) {
			services = append(services, serviceOf(r.Range))
		}
	}
	return &reply[[]Service]{services}, nil
}

func (a *Adapter) getService(_ context.Context, in *ServiceName) (*reply[Service], error) {
	r, err := a.service(in.Name)
	if err != nil {
		return nil, err
	}
	return &reply[Service]{serviceOf(r.Range)}, nil
}

func (a *Adapter) createService(ctx context.Context, in *struct{ Raw }) (*reply[Service], error) {
	f, err := in.form()
	if err != nil {
		return nil, err
	}
	r := lease.Range{Name: f.name("name", true), Description: f.description("description"), Protocol: lease.TCP, Scope: lease.HostScope}
	r.Min, r.Max = f.port("start", true), f.port("end", true)
	switch {
	case len(f.wrong["name"]) > 0:
	case lease.Range{Name: r.Name, Min: firstPort, Max: firstPort}.Validate() != nil:
		f.add("name", "Enter a valid name consisting of letters, numbers, periods, underscores or hyphens.")
	case len(a.opts.Leases.Ranges(r.Name)) > 0:
		f.add("name", "service with this name already exists.")
	}
	if err := f.bounds(r); err != nil {
		return nil, err
	}
	if err := a.opts.Leases.AddRanges(ctx, []lease.Range{r}, lease.AddOptions{}); err != nil {
		return nil, rangeRefused(err)
	}
	return &reply[Service]{serviceOf(r)}, nil
}

// bounds returns what is wrong with the fields of a service or, if nothing is,
// with its ports.
func (f *form) bounds(r lease.Range) error {
	if err := f.err(); err != nil {
		return err
	}
	if r.Min >= r.Max {
		return wrong(whole, "Start of the range should be a lower number.")
	}
	return nil
}

// rangeRefused turns an error of a range's change into the answer.
func rangeRefused(err error) error {
	switch {
	case errors.Is(err, lease.ErrRangeExists):
		return wrong("name", "service with this name already exists.")
	case errors.Is(err, lease.ErrRangeOverlaps):
		return wrong(whole, "Port range overlaps with existing services.")
	case errors.Is(err, lease.ErrRangeLeased):
		return wrong(whole, "Defined service instances fall outside of the range.")
	case errors.Is(err, lease.ErrRangeInvalid):
		return wrong(whole, "%v", err)
	case errors.Is(err, lease.ErrRangeNotFound):
		return notFound()
	}
	return err
}

// updateService sets what is given of a service; all has to be, but for the
// description, where all says so.
func (a *Adapter) updateService(ctx context.Context, in *serviceBody, all bool) (*reply[Service], error) {
	if err := a.enter(ctx); err != nil {
		return nil, err
	}
	defer a.leave()
	old, err := a.service(in.Name)
	if err != nil {
		return nil, err
	}
	f, err := in.form()
	if err != nil {
		return nil, err
	}
	if name := f.name("name", all); len(f.wrong["name"]) == 0 && f.has("name") && name != old.Name {
		f.add("name", "The name of a service cannot be changed.")
	}
	next := old.Range
	if f.has("description") {
		next.Description = f.description("description")
	}
	if n := f.port("start", all); f.has("start") {
		next.Min = n
	}
	if n := f.port("end", all); f.has("end") {
		next.Max = n
	}
	if err := f.bounds(next); err != nil {
		return nil, err
	}
	u, err := a.opts.Leases.UpdateRange(ctx, old.Name, lease.UpdateOptions{Min: next.Min, Max: next.Max, Description: &next.Description})
	if err != nil {
		return nil, rangeRefused(err)
	}
	return &reply[Service]{serviceOf(u.Range)}, nil
}

// deleteService ends what is leased of a service by its calls, and deletes it. What
// others hold of it they have to release before.
func (a *Adapter) deleteService(ctx context.Context, in *ServiceName) (*empty, error) {
	if err := a.enter(ctx); err != nil {
		return nil, err
	}
	defer a.leave()
	r, err := a.service(in.Name)
	if err != nil {
		return nil, err
	}
	var ids []lease.ID
	var b store.Batch
	for _, active := range r.Active {
		l := active.Lease
		if l.Holder.Kind != lease.Manual && !a.isOffer(l) {
			return nil, wrong(whole, "Port %d of the service is leased by %s.", l.Port, l.Holder)
		}
		ids = append(ids, l.ID)
		if _, ok := a.notes.of(l.ID); ok {
			b.Delete(noteKey(l.ID))
		}
	}
	// The leases end first: what is left where that was all can be deleted again.
	if len(ids) > 0 {
		if err := a.end(ctx, ids, b); err != nil {
			return nil, err
		}
	}
	deleted, err := a.opts.Leases.DeleteRanges(ctx, r.Name, false)
	switch {
	case errors.Is(err, lease.ErrRangeLeased):
		return nil, wrong(whole, "%v", err)
	case err != nil:
		return nil, err
	case !slices.ContainsFunc(deleted, func(d lease.Range) bool { return d.Name == r.Name }):
		return nil, notFound()
	}
	return nil, nil
}
