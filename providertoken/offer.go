package providertoken

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

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
	others    []alternative
	methods   map[string]method
	transport *http.Transport
}

// alternative is an Alternative with its base parsed.
type alternative struct {
	Alternative
	base template
}

// method is a Method with its headers parsed.
type method struct {
	Method
	headers map[string]template
	fixed   bool     // the operator gave the address
	accept  []string // domains of a pasted address; none where it would not say which field it means
	shared  string   // the one of them on which the field stands in the path
}

// asks reports whether the user types that field: not one that decides the
// address and nothing else where the operator gave the address. What a row has of
// it from another time stays, and stays part of what is sealed; see digest.
func (m method) asks(f Field) bool {
	if !m.fixed || !f.Origin {
		return true
	}
	for _, t := range m.headers {
		if slices.Contains(t.fields(), f.Name) {
			return true
		}
	}
	return false
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
	for _, a := range d.Instance.Alternatives {
		t, _ := parseTemplate(a.Base)
		o.others = append(o.others, alternative{a, t})
	}
	for _, m := range d.Methods {
		parsed := method{Method: m, headers: map[string]template{}}
		if len(o.base.fields()) == 1 {
			parsed.accept = d.Instance.Accept
			parsed.shared, _, _ = strings.Cut(strings.TrimPrefix(d.Instance.Base, "https://"), "/") // no domain where it is a template
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
	o.id, o.instance, o.fixed, o.base, o.origins = i.ID, i.ID, &base, nil, nil
	if i.Name != "" {
		o.name = i.Name
	}
	for id, m := range o.methods {
		m.fixed = true
		o.methods[id] = m
	}
	if o.others, err = instanceAlternatives(o.others, i.Alternatives); err != nil {
		return nil, err
	}
	o.transport = newTransport(i, append(o.ports(), portNumber(base.origin.port))...)
	return o, nil
}

// instanceAlternatives returns those of the definition's alternatives for which
// the operator gave a base.
func instanceAlternatives(all []alternative, bases map[string]string) ([]alternative, error) {
	var out []alternative
	for _, a := range all {
		text, given := bases[a.ID]
		if !given {
			continue
		}
		t, err := parseTemplate(text)
		if err != nil {
			return nil, fmt.Errorf("alternative %q: %w", a.ID, err)
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(text, "https://"), "/")
		values := map[string]string{}
		for _, name := range t.fields() {
			if strings.Contains(host, "{") || !slices.ContainsFunc(a.Discover, func(f Discovery) bool { return f.Name == name }) {
				return nil, fmt.Errorf("alternative %q: its path may name what is discovered, and nothing else", a.ID)
			}
			values[name] = "x"
		}
		if _, err := parseBaseURL(t.expand(values)); err != nil {
			return nil, fmt.Errorf("alternative %q: %w", a.ID, err)
		}
		a.base = t
		out = append(out, a)
	}
	if len(out) != len(bases) {
		return nil, errors.New("the definition has no such alternative")
	}
	return out, nil
}

// ports returns the ports of the offer's addresses that are templates. No field
// decides one, so any value will do for the fields.
func (o *offer) ports() []uint16 {
	var ports []uint16
	templates := append([]template{o.base}, o.origins...)
	for _, a := range o.others {
		templates = append(templates, a.base)
	}
	for _, t := range templates {
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

// A row keeps among its fields which alternative it uses, and what was
// discovered for it, under names that no field can have.
const chosenKey = ":base"

func foundKey(name string) string { return chosenKey + "." + name }

// typedFields returns the fields without what a row keeps among them.
func typedFields(fields map[string]string) map[string]string {
	out := make(map[string]string, len(fields))
	for name, value := range fields {
		if !strings.HasPrefix(name, chosenKey) {
			out[name] = value
		}
	}
	return out
}

// destination is where one connection's credential may go and how it gets onto
// a request.
type destination struct {
	offer   *offer
	method  method
	fields  map[string]string // what it was made from, as a row keeps them
	first   baseURL           // what is asked without a credential; see Discovery
	base    baseURL
	origins []origin // the base's first
	digest  []byte   // see offer.digest
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
	// A row can be edited by hand, and what its owner types again is sealed for
	// whatever it says then: behind a slash the domain would be a path.
	for _, f := range m.Fields {
		if value := fields[f.Name]; f.Origin && value != "" && !validDNSLabel(value) {
			return destination{}, ErrNotOffered
		}
	}
	d := destination{offer: o, method: m, fields: fields, digest: o.digest(m, fields)}
	var err error
	if o.fixed != nil {
		d.first = *o.fixed
	} else if d.first, err = parseBaseURL(o.base.expand(fields)); err != nil {
		return destination{}, ErrNotOffered
	}
	d.base = d.first
	if id, chosen := fields[chosenKey]; chosen {
		i := slices.IndexFunc(o.others, func(a alternative) bool { return a.ID == id })
		if i < 0 {
			return destination{}, ErrNotOffered
		}
		if d.base, err = o.others[i].at(fields); err != nil {
			return destination{}, ErrNotOffered
		}
	}
	d.origins = []origin{d.base.origin}
	for _, t := range o.origins {
		further, err := parseBaseURL(t.expand(fields))
		if err != nil {
			return destination{}, ErrNotOffered
		}
		if !slices.Contains(d.origins, further.origin) {
			d.origins = append(d.origins, further.origin)
		}
	}
	return d, nil
}

// at returns the alternative's base for what the user typed and what was found.
func (a alternative) at(fields map[string]string) (baseURL, error) {
	values := maps.Clone(fields)
	for _, f := range a.Discover {
		values[f.Name] = fields[foundKey(f.Name)]
	}
	return parseBaseURL(a.base.expand(values))
}

// at returns the destination of the same address at one of its alternatives;
// with a nil one, at the first base.
func (d destination) at(a *alternative, found map[string]string) (destination, error) {
	fields := typedFields(d.fields)
	if a != nil {
		fields[chosenKey] = a.ID
		for name, value := range found {
			fields[foundKey(name)] = value
		}
	}
	return d.offer.destination(d.method.ID, fields)
}

// with returns the destination of the same base for other values of the fields
// that do not decide the address.
func (d destination) with(typed map[string]string) destination {
	fields := maps.Clone(typed)
	for name, value := range d.fields {
		if strings.HasPrefix(name, chosenKey) {
			fields[name] = value
		}
	}
	d.fields = fields
	return d
}

// digest is the Destination of the binding: SHA-256 over the ids of definition,
// method and instance and the fields that decide the address, by name, each part
// after its length; for an alternative also its id and what was discovered, so
// that who can write the row cannot choose another base for what is sealed. The
// origins follow from these and the definition, so that a new catalogue orphans
// nothing, also when it orders the fields in another way.
func (o *offer) digest(m method, fields map[string]string) []byte {
	values := map[string]string{}
	for _, f := range m.Fields {
		if f.Origin {
			values[f.Name] = fields[f.Name]
		}
	}
	for name, value := range fields {
		if strings.HasPrefix(name, chosenKey) {
			values[name] = value
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
	values := d.values(fields, secrets)
	out := make(map[string]lanyard.Secret, len(d.method.headers))
	for name, t := range d.method.headers {
		out[name] = lanyard.NewSecret(t.expand(values))
	}
	return out
}
