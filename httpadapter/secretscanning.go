package httpadapter

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/aichub/lanyard"
	"github.com/aichub/lanyard/apikey"
)

const (
	// maxScanBody is how large a report may be, in bytes: about 30 000 matches.
	maxScanBody = 8 << 20

	// scanTimeout is how long GitHub waits for the answer, says "Provide feedback
	// for false positives" on the page that SecretScanning names.
	scanTimeout = 30 * time.Second
)

// The headers of a report. They are also written in capitals; case does not
// matter in HTTP.
const (
	scanKeyHeader       = "Github-Public-Key-Identifier"
	scanSignatureHeader = "Github-Public-Key-Signature"
)

// SecretScanningOptions configures [SecretScanning]. The zero value is ready to
// use.
type SecretScanningOptions struct {
	// Client fetches GitHub's public keys, once an hour. One whose transport
	// adds a token of GitHub's, which needs no rights, is not slowed down by its
	// limit for strangers. Defaults to a client that waits 10 seconds.
	Client *http.Client

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time

	// Logger hears that GitHub's keys or the store cannot be asked. Defaults to
	// discarding.
	Logger *slog.Logger
}

// SecretScanning receives what GitHub finds as a partner's secret scanning: the
// API keys that stand in public code, issues and packages. It deletes each that
// is live, as apikey.Service.ReportLeaks does, so its owner finds it in his
// history, and tells GitHub which of them were keys. The host mounts it at the
// address it gave GitHub, which needs no session:
//
//	mux.Handle("/hooks/github/secret-scanning", httpadapter.SecretScanning(keys, nil))
//
// A report is believed if GitHub signed it: ECDSA with P-256 and SHA-256 over
// the body, with one of the keys at
// https://api.github.com/meta/public_keys/secret_scanning. Any other gets 403,
// 503 while these keys cannot be fetched. Sending a report again changes
// nothing more and gets the same answer.
//
// The answer names each token by its SHA-256 in hexadecimal, and repeats none.
// Errors are application/problem+json. Source:
// https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program/secret-scanning-partner-program
//
// The handler is safe for concurrent use. A body is read, up to 8 MiB, before
// its signature can be checked: limit what strangers may send where that
// matters.
func SecretScanning(keys *apikey.Service, o *SecretScanningOptions) http.Handler {
	var opt SecretScanningOptions
	if o != nil {
		opt = *o
	}
	if opt.Client == nil {
		opt.Client = &http.Client{Timeout: githubTimeout}
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &secretScanning{
		keys: keys, logger: opt.Logger,
		github: newGitHubKeys(opt.Client, opt.Now, opt.Logger),
	}
}

type secretScanning struct {
	keys   *apikey.Service
	github *githubKeys
	logger *slog.Logger
}

// scanMatch is one match of a report. GitHub may send more members.
type scanMatch struct {
	Token  string `json:"token"`
	Type   string `json:"type"`
	URL    string `json:"url"`
	Source string `json:"source"`
}

// scanFeedback is the answer to one match.
type scanFeedback struct {
	TokenHash string `json:"token_hash"`
	TokenType string `json:"token_type"`
	Label     string `json:"label"`
}

func (s *secretScanning) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	ctx := r.Context()
	if lanyard.RequestFrom(ctx) == (lanyard.Request{}) {
		ctx = lanyard.WithRequest(ctx, lanyard.Request{ID: requestID(r), UserAgent: r.UserAgent()})
		r = r.WithContext(ctx)
	}
	feedback, err := s.receive(w, r)
	if err != nil {
		p := problemOf(err)
		if p.status() >= 500 {
			s.logger.ErrorContext(ctx, "reported secrets could not be dealt with", slog.Any("error", err))
		}
		writeProblem(w, r, p)
		return
	}
	answer, err := json.Marshal(feedback)
	if err != nil {
		writeProblem(w, r, problem{Code: codeInternal})
		return
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	_, _ = w.Write(answer) //nolint:gosec // JSON, declared as such and not to be sniffed
}

// receive deals with one report.
func (s *secretScanning) receive(w http.ResponseWriter, r *http.Request) ([]scanFeedback, error) {
	body, err := s.signedBody(w, r)
	if err != nil {
		return nil, err
	}
	var matches []scanMatch
	if err := json.Unmarshal(body, &matches); err != nil || matches == nil {
		return nil, malformed("the body is not one well-formed JSON array of matches")
	}
	leaks := make([]apikey.Leak, 0, len(matches))
	for _, m := range matches {
		leaks = append(leaks, apikey.Leak{Token: lanyard.NewSecret(m.Token), Source: "github/" + m.Source, URL: m.URL})
	}
	// A key that stands in public dies, also when GitHub hangs up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), scanTimeout)
	defer cancel()
	results, err := s.keys.ReportLeaks(ctx, leaks)
	if err != nil {
		return nil, err
	}
	feedback := make([]scanFeedback, 0, len(matches))
	for i, m := range matches {
		hash := sha256.Sum256([]byte(m.Token))
		f := scanFeedback{TokenHash: hex.EncodeToString(hash[:]), TokenType: m.Type, Label: "true_positive"}
		if results[i].Verdict == apikey.LeakUnknown {
			f.Label = "false_positive"
		}
		feedback = append(feedback, f)
	}
	return feedback, nil
}

// errNotSigned is the one answer to what GitHub did not sign.
var errNotSigned = errProblem{problem{Code: codeForbidden, Detail: "the report is not signed by GitHub"}}

// signedBody returns the body of a report that GitHub signed.
func (s *secretScanning) signedBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	ids, signatures := r.Header.Values(scanKeyHeader), r.Header.Values(scanSignatureHeader)
	switch {
	case r.Method != http.MethodPost:
		return nil, errProblem{problem{Code: codeMethodNotAllowed, Allow: http.MethodPost}}
	case !jsonType(r):
		return nil, errProblem{problem{Code: codeUnsupportedType}}
	case len(ids) != 1 || len(signatures) != 1:
		return nil, errNotSigned
	}
	signature, err := base64.StdEncoding.DecodeString(signatures[0])
	if err != nil {
		return nil, errNotSigned
	}
	key, err := s.github.key(r.Context(), ids[0])
	if errors.Is(err, lanyard.ErrNotFound) {
		return nil, errNotSigned
	}
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxScanBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, err
	case err != nil:
		return nil, malformed("the body could not be read")
	}
	if digest := sha256.Sum256(body); !ecdsa.VerifyASN1(key, digest[:], signature) {
		return nil, errNotSigned
	}
	return body, nil
}
