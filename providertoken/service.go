package providertoken

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/crypto"
	"github.com/aichub/lanyard/internal/once"
	"github.com/aichub/lanyard/internal/telemetry"
	"github.com/aichub/lanyard/store"
)

// Service keeps connections and lends clients that use them. It is safe for
// concurrent use.
type Service struct {
	store         Store
	sealer        *crypto.Sealer
	offers        []*offer
	byID          map[string]*offer
	shapes        []otherShape
	limit         int
	verifyTimeout time.Duration     // 0 or less: the caller's context alone
	processes     int               // that share a platform's limits
	policies      map[string]Policy // by the id of the offer
	maxAnswer     int64             // below 0 is any
	onEvent       func(context.Context, lanyard.Event)
	onCall        func(context.Context, Call)
	clock         func() time.Time
	logger        *slog.Logger
	spans         telemetry.Spans
	telemetry     *metrics

	told   once.Facts[string] // that the history has
	probes singleflight.Group
	mu     sync.Mutex
	lines  map[string]*line // by connection id; see line
	busy   int              // how many there may be before they are looked through again
}

// NewService returns a Service. It refuses a bad definition or instance with
// an error that names it.
func NewService(st Store, sealer *crypto.Sealer, o *Options) (*Service, error) {
	if st == nil || sealer == nil {
		return nil, errors.New("providertoken: a Service needs a store and a Sealer")
	}
	opt := o.withDefaults()
	offers, err := makeOffers(opt.Providers, opt.Instances)
	if err != nil {
		return nil, fmt.Errorf("providertoken: %w", err)
	}
	policies, err := makePolicies(offers, opt.Policy, opt.Policies)
	if err != nil {
		return nil, fmt.Errorf("providertoken: %w", err)
	}
	m, err := newMetrics(opt.MeterProvider)
	if err != nil {
		return nil, fmt.Errorf("providertoken: %w", err)
	}
	s := &Service{
		store: st, sealer: sealer, offers: offers, byID: map[string]*offer{}, shapes: recognised(opt.Providers), limit: opt.Limit,
		verifyTimeout: opt.VerifyTimeout, processes: opt.Processes, policies: policies, maxAnswer: opt.MaxAnswer,
		onEvent: opt.OnEvent, onCall: opt.OnCall, clock: opt.Now, logger: opt.Logger,
		spans: telemetry.NewSpans(opt.TracerProvider, scope), telemetry: m, lines: map[string]*line{},
	}
	for _, offer := range offers {
		s.byID[offer.id] = offer
	}
	return s, nil
}

func (s *Service) now() time.Time { return store.Instant(s.clock()) }

// Check reports whether connections can be read and opened now: it asks the
// store and the key service.
func (s *Service) Check(ctx context.Context) (err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Check")
	defer end(&err)
	_, err = s.store.OwnerState(ctx, lanyard.Owner{Subject: "lanyard:check"})
	if err == nil {
		err = s.sealer.Check(ctx)
	}
	if err != nil {
		return fmt.Errorf("providertoken: check: %w", err)
	}
	return nil
}

// Provider is one entry of what users can connect to: a definition, or an
// instance of one.
type Provider struct {
	ID      string // the instance's id, or the definition's
	Name    string
	DocsURL string
	Methods []MethodInfo
	Notices []Notice // those of today

	// Unverifiable says that the platform cannot tell whose a credential is: it
	// can be stored unverified and no other way.
	Unverifiable bool
}

// MethodInfo is what a form needs to know of a Method. Its fields are those that
// a user types, without the ones that an instance's operator has answered by its
// Base. They have their Type, and Public where it is implied.
type MethodInfo struct {
	ID        string
	Label     string
	Fields    []Field
	AskExpiry bool
	Revokes   bool // deleting a connection ends the credential at the platform too
}

// Providers returns what users can connect to, in the order configured. The
// slices are the caller's own.
func (s *Service) Providers() []Provider { return s.ProvidersIn("") }

// ProvidersIn returns what Providers returns, with its texts in that language, as
// "pt-BR", where the definitions have them; see [Definition.Translations].
func (s *Service) ProvidersIn(language string) []Provider {
	now := s.now()
	out := make([]Provider, 0, len(s.offers))
	for _, o := range s.offers {
		say := o.def.translator(language)
		p := Provider{ID: o.id, Name: say(o.name), DocsURL: o.def.DocsURL, Unverifiable: o.def.Unverifiable}
		for _, m := range o.def.Methods {
			info := MethodInfo{ID: m.ID, Label: say(m.Label), AskExpiry: m.Lifetime.AskUser, Revokes: m.Revoke.Path != ""}
			for _, f := range m.Fields {
				if !o.methods[m.ID].asks(f) {
					continue
				}
				f.Type, f.Public = f.kind(), f.isPublic()
				f.Label, f.Help = say(f.Label), say(f.Help)
				f.Shapes = slices.Clone(f.Shapes)
				info.Fields = append(info.Fields, f)
			}
			p.Methods = append(p.Methods, info)
		}
		for _, n := range o.def.Notices {
			if !now.Before(n.From) && (n.Until.IsZero() || now.Before(n.Until)) {
				n.Text = say(n.Text)
				p.Notices = append(p.Notices, n)
			}
		}
		out = append(out, p)
	}
	return out
}

// Limit is how many connections an owner may have; negative means no limit.
func (s *Service) Limit() int { return s.limit }

// Tokens returns the owner's connections, newest first.
func (s *Service) Tokens(ctx context.Context, owner lanyard.Owner) (_ []Token, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Tokens")
	defer end(&err)
	rows, err := s.store.ProviderTokens(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("providertoken: tokens: %w", err)
	}
	var out []Token
	for _, row := range rows {
		out = append(out, s.token(row))
	}
	return out, nil
}

// Token returns one connection of the owner.
func (s *Service) Token(ctx context.Context, owner lanyard.Owner, id string) (_ Token, err error) {
	ctx, end := s.spans.Start(ctx, "providertoken.Token", tokenAttr(id)...)
	defer end(&err)
	row, err := s.store.ProviderToken(ctx, owner, id)
	if err != nil {
		return Token{}, fmt.Errorf("providertoken: token %s: %w", shown(id), err)
	}
	return s.token(row), nil
}

// validID reports whether id can be what lanyard.NewID made.
func validID(id string) bool {
	return len(id) == 26 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// shown is the id as an error may repeat it: what cannot be one may be a secret
// in the wrong place.
func shown(id string) string {
	if validID(id) {
		return id
	}
	return "of that id"
}

func unavailable(cause error) error {
	return fmt.Errorf("%w: %w", lanyard.ErrUnavailable, cause)
}
