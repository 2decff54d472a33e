# The operator's image for people with Docker or buildah. The project's own tests do not use it: e2e/cluster packs the same files
# without an engine. Never built so far: where the project is developed there is no registry to take the first stage from.
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# --target keeps the flag away from build scripts and procedural macros, which cannot be static.
RUN triple=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$triple" -p beachmaster -p launch \
 && mkdir -p /image/etc /image/tmp && chmod 1777 /image/tmp \
 && cp "target/$triple/release/beachmaster" "target/$triple/release/launch" /image/ \
 && printf '%s\n' root:x:0:0::/:/sbin/nologin mysql:x:999:999::/:/sbin/nologin nonroot:x:65532:65532::/:/sbin/nologin >/image/etc/passwd \
 && printf '%s\n' root:x:0: mysql:x:999: nonroot:x:65532: >/image/etc/group

FROM scratch
COPY --from=build /image/ /
USER 65532:65532
ENTRYPOINT ["/beachmaster"]
