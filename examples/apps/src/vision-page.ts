/** The upload form; the answer replaces the picture below it. */
export function buildUploadPage(): string {
	return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Vision sample</title></head>
<body style="font-family:system-ui,sans-serif;max-width:50em;margin:2em auto">
<h1>Vision sample</h1>
<form id="form" action="/process" method="post" enctype="multipart/form-data">
<input type="file" name="image" accept="image/jpeg" required> <button>Process</button>
</form>
<p id="said">No picture at hand? <a href="/sample.jpg?bytes=5000000" download="sample.jpg">Take this one of 5 MB.</a></p>
<img id="answer" alt="" style="max-width:100%">
<script>
document.getElementById("form").addEventListener("submit", async (event) => {
	event.preventDefault();
	const said = document.getElementById("said");
	said.textContent = "…";
	const response = await fetch("/process", { method: "POST", body: new FormData(event.target) });
	if (!response.ok) { said.textContent = response.status + " " + (await response.text()); return; }
	const picture = await response.blob();
	document.getElementById("answer").src = URL.createObjectURL(picture);
	said.textContent = picture.size + " bytes, " + response.headers.get("x-image-size");
});
</script>
</body></html>
`;
}
