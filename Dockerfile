# docker build -t video_gc .
# docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs/demo/checkpoints:/model:ro" video_gc /model/best.ckpt
FROM python:3.12-slim

# --build-arg PIP_EXTRA_INDEX_URL=…: an index that has torch for the CPU alone, a smaller image
ARG PIP_EXTRA_INDEX_URL

WORKDIR /app
COPY setup.cfg setup.py pyproject.toml constraints.txt README.md LICENSE ./
COPY video_gc video_gc
COPY configs configs
COPY datasets datasets
COPY tools tools
RUN pip install --no-cache-dir -c constraints.txt '.[serve]'

RUN useradd --create-home --uid 10001 serve
USER serve

EXPOSE 8000
HEALTHCHECK --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
ENTRYPOINT ["video-gc", "serve", "--host", "0.0.0.0"]
