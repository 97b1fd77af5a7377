package providertoken

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/store"
)

// offer is one entry of Providers: a definition at its public address or at an
// operator's instance, with its templates parsed and its transport made.
type offer struct {
	id, name  string
	def       Definition
	instance  string // id of the instance; "" = the public address
	fixed     *baseURL
	base      template // where fixed is nil
	origins   []template
	methods   map[string]method
	transport *http.Transport
}

// method is a Method with its headers parsed.
type method struct {
	Method
	headers map[string]template
	accept  []string // domains of a pasted address; none where it would not say which field it means
}

// makeOffers checks definitions and instances and returns what is offered, in
// the order configured: definitions first, each followed by its instances.
func makeOffers(defs []Definition, instances []Instance) ([]*offer, error) {
	var (
		offers []*offer
		errs   []error
		taken  = map[string]bool{}
	)
	take := func(kind, id string) {
		if taken[id] {
			errs = append(errs, fmt.Errorf("%s %q: the id is taken", kind, id))
		}
		taken[id] = true
	}
	for _, d := range defs {
		take("provider definition", d.ID)
		if err := d.Validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		if d.Instance.Mode != ModeOperator {
			o := newOffer(d)
			o.transport = newTransport(Instance{}, o.ports()...)
			offers = append(offers, o)
		}
		for _, i := range instances {
			if i.Provider != d.ID {
				continue
			}
			take("instance", i.ID)
			o, err := newInstanceOffer(d, i)
			if err != nil {
				errs = append(errs, fmt.Errorf("instance %q: %w", i.ID, err))
				continue
			}
			offers = append(offers, o)
		}
	}
	for _, i := range instances {
		if !slices.ContainsFunc(defs, func(d Definition) bool { return d.ID == i.Provider }) {
			errs = append(errs, fmt.Errorf("instance %q: there is no definition %q", i.ID, i.Provider))
		}
	}
	return offers, errors.Join(errs...)
}

// newOffer makes an offer, still without a transport, of a definition that was
// validated, so its templates parse. It keeps a copy: what the host does to its
// own afterwards changes nothing.
func newOffer(d Definition) *offer {
	d = d.clone()
	o := &offer{id: d.ID, name: d.Name, def: d, methods: map[string]method{}}
	o.base, _ = parseTemplate(d.Instance.Base)
	for _, text := range d.Instance.Origins {
		t, _ := parseTemplate(text)
		o.origins = append(o.origins, t)
	}
	for _, m := range d.Methods {
		parsed := method{Method: m, headers: map[string]template{}}
		if len(o.base.fields()) == 1 {
			parsed.accept = d.Instance.Accept
		}
		for name, text := range m.Headers {
			parsed.headers[http.CanonicalHeaderKey(name)], _ = parseTemplate(text)
		}
		o.methods[m.ID] = parsed
	}
	return o
}

func newInstanceOffer(d Definition, i Instance) (*offer, error) {
	if !validProviderID(i.ID) {
		return nil, errors.New("an id is [a-z0-9-], begins with a letter and has at most 40 characters")
	}
	base, err := parseBaseURL(i.Base)
	if err != nil {
		return nil, err
	}
	if p := i.Proxy; p != nil && (p.Host == "" || p.Scheme != "http" && p.Scheme != "https" && p.Scheme != "socks5") {
		return nil, errors.New("a proxy is http, https or socks5")
	}
	for _, n := range i.Networks {
		if !n.IsValid() || n.Addr().Is4In6() {
			return nil, errors.New("a network is not valid; write an IPv4 one as such")
		}
	}
	if i.RootCAs != nil {
		i.RootCAs = i.RootCAs.Clone()
	}
	if i.Proxy != nil {
		proxy := *i.Proxy
		i.Proxy = &proxy
	}
	o := newOffer(d)
	o.id, o.instance, o.fixed = i.ID, i.ID, &base
	if i.Name != "" {
		o.name = i.Name
	}
	o.transport = newTransport(i, portNumber(base.origin.port))
	return o, nil
}

// ports returns the ports of the definition's own addresses. No field decides
// one, so any value will do for the fields.
func (o *offer) ports() []uint16 {
	var ports []uint16
	for _, t := range append([]template{o.base}, o.origins...) {
		values := map[string]string{}
		for _, name := range t.fields() {
			values[name] = "x"
		}
		if b, err := parseBaseURL(t.expand(values)); err == nil {
			ports = append(ports, portNumber(b.origin.port))
		}
	}
	return ports
}

// destination is where one connection's credential may go and how it gets onto
// a request.
type destination struct {
	offer   *offer
	method  method
	base    baseURL
	origins []origin // the base's first
	digest  []byte   // of what the user decided; see digest
}

// destination returns where a row's credential goes by today's configuration,
// or ErrNotOffered.
func (s *Service) destination(row store.ProviderToken) (destination, error) {
	o, ok := s.byID[row.ProviderID]
	if !ok {
		return destination{}, ErrNotOffered
	}
	return o.destination(row.MethodID, row.Fields)
}

func (o *offer) destination(methodID string, fields map[string]string) (destination, error) {
	m, ok := o.methods[methodID]
	if !ok {
		return destination{}, ErrNotOffered
	}
	d := destination{offer: o, method: m}
	if o.fixed != nil {
		d.base, d.origins = *o.fixed, []origin{o.fixed.origin}
	} else {
		base, err := parseBaseURL(o.base.expand(fields))
		if err != nil {
			return destination{}, ErrNotOffered
		}
		d.base, d.origins = base, []origin{base.origin}
		for _, t := range o.origins {
			further, err := parseBaseURL(t.expand(fields))
			if err != nil {
				return destination{}, ErrNotOffered
			}
			d.origins = append(d.origins, further.origin)
		}
	}
	d.digest = o.digest(m, fields)
	return d, nil
}

// digest is the Destination of the binding: SHA-256 over the ids of definition,
// method and instance and the fields that decide the address, by name, each part
// after its length. The origins follow from these and the definition, so that a
// new catalogue orphans nothing, also when it orders the fields in another way.
func (o *offer) digest(m method, fields map[string]string) []byte {
	values := map[string]string{}
	for _, f := range m.Fields {
		if f.Origin {
			values[f.Name] = fields[f.Name]
		}
	}
	parts := []string{o.def.ID, m.ID, o.instance}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, name, values[name])
	}
	h := sha256.New()
	for _, p := range parts {
		_ = binary.Write(h, binary.BigEndian, uint32(len(p)))
		_, _ = h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// headers returns the credential as headers, by canonical name.
func (d destination) headers(fields, secrets map[string]string) map[string]lanyard.Secret {
	values := map[string]string{}
	for name, v := range fields {
		values[name] = v
	}
	for name, v := range secrets {
		values[name] = v
	}
	out := make(map[string]lanyard.Secret, len(d.method.headers))
	for name, t := range d.method.headers {
		out[name] = lanyard.NewSecret(t.expand(values))
	}
	return out
}
