package httpadapter

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// asset is one file the page loads. Its address holds a digest of its bytes,
// so a browser may keep it for ever.
type asset struct {
	path string // below the mount, as "assets/lanyard.3f1c9a2b44d0.css"
	kind string
	body []byte
}

// loadAssets returns the assets by file name.
func loadAssets() (map[string]asset, error) {
	files, err := assetFiles.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	// Not by mime.TypeByExtension alone: it asks the machine.
	kinds := map[string]string{".css": "text/css", ".js": "text/javascript"}
	assets := map[string]asset{}
	for _, f := range files {
		body, err := assetFiles.ReadFile("assets/" + f.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		extension := path.Ext(f.Name())
		assets[f.Name()] = asset{
			path: "assets/" + strings.TrimSuffix(f.Name(), extension) + "." + hex.EncodeToString(sum[:6]) + extension,
			kind: mime.FormatMediaType(kinds[extension], map[string]string{"charset": "utf-8"}),
			body: body,
		}
	}
	return assets, nil
}

// serveAsset answers for a path below assets/. Assets are for everybody.
func (p *page) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	for _, a := range p.assets {
		if a.path != name {
			continue
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			p.problem(w, r, caller{}, problem{Code: codeMethodNotAllowed, Allow: "GET, HEAD"})
			return
		}
		etag := `"` + strings.TrimPrefix(a.path, "assets/") + `"`
		header := w.Header()
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
		header.Set("ETag", etag)
		if strings.Contains(r.Header.Get("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		header.Set("Content-Type", a.kind)
		if r.Method == http.MethodGet {
			_, _ = w.Write(a.body)
		}
		return
	}
	p.problem(w, r, caller{}, problem{Code: codeNotFound})
}
