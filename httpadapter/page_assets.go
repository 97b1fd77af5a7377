package httpadapter

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets
var assetFiles embed.FS

// assetTypes are the kinds of files we serve. mime.TypeByExtension would ask
// the machine.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
}

// asset is one file the page loads.
type asset struct {
	path    string // below the mount, with the version: "assets/lanyard.css?v=3f1c9a2b44d0"
	kind    string
	version string // a digest of the bytes
	body    []byte
}

// loadAssets returns the assets by file name.
func loadAssets() (map[string]asset, error) {
	files, err := assetFiles.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	assets := make(map[string]asset, len(files))
	for _, f := range files {
		body, err := assetFiles.ReadFile("assets/" + f.Name())
		if err != nil {
			return nil, err
		}
		if path.Ext(f.Name()) == ".css" {
			body = unindented(body)
		}
		sum := sha256.Sum256(body)
		version := hex.EncodeToString(sum[:6])
		assets[f.Name()] = asset{
			path: "assets/" + f.Name() + "?v=" + version, kind: assetTypes[path.Ext(f.Name())],
			version: version, body: body,
		}
	}
	return assets, nil
}

// unindented is a style sheet without the white space before its lines, which is
// a fifth of it and means nothing.
func unindented(css []byte) []byte {
	short := make([]byte, 0, len(css))
	for line := range bytes.Lines(css) {
		if line = bytes.TrimLeft(line, " \n"); len(line) > 0 {
			short = append(short, line...)
		}
	}
	return short
}

// serveAsset answers for a path below assets/. Assets are for everybody. Only
// an address that names the version we have may be kept for ever: while two
// releases run side by side, one is asked for what the other has, and gives
// what it has.
func (p *page) serveAsset(w http.ResponseWriter, r *http.Request, path string) {
	a, ok := p.assets[strings.TrimPrefix(path, "assets/")]
	if !ok {
		p.problem(w, r, caller{}, problem{Code: codeNotFound})
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		p.problem(w, r, caller{}, problem{Code: codeMethodNotAllowed, Allow: "GET, HEAD"})
		return
	}
	header := w.Header()
	header.Set("Content-Type", a.kind)
	header.Set("ETag", `"`+a.version+`"`)
	header.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.version {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if p.h.config.Development {
		header.Set("Cache-Control", "no-store") // so that each page asks
		p.h.checkAsset(r, strings.TrimPrefix(path, "assets/"))
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}
