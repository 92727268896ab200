"""`/api/v1/media`: files that messages are to carry, uploaded once and named by their id."""

from __future__ import annotations

from typing import IO, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import Body, read
from accounts.models import ApiKey
from accounts.permissions import WRITERS
from accounts.problems import Problem
from accounts.routes import TenantRoute
from whatsapp import media
from whatsapp.api import examples
from whatsapp.models import Media

LARGEST = max(media.MAX_BYTES.values())
AROUND = 64 * 1024  # bytes of a multipart body beside its file


class MediaAnswer(serializers.ModelSerializer[Media]):
    class Meta:
        model = Media
        fields = ["id", "filename", "kind", "mime", "size"]
        read_only_fields = fields


class UploadBody(Body):
    file = serializers.FileField(help_text="What it is, its bytes tell: its name does not count.")
    type = serializers.ChoiceField(
        choices=Media.Kind.choices, required=False, help_text="How it is sent; else as what it is."
    )


class OneFile(MultiPartParser):
    """A form with a file, refused by its announced size before any of it is read."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> DataAndFiles[Any, Any]:
        announced = int(parser_context["request"].META.get("CONTENT_LENGTH") or 0)
        if announced > LARGEST + AROUND:
            mib = LARGEST // media.MIB
            raise Problem(413, "too_large", f"The file is larger than {mib} MiB.")
        return super().parse(stream, media_type, parser_context)


class MediaUploadView(TenantRoute):
    roles = WRITERS
    scopes = {"POST": ApiKey.Scope.MESSAGES_SEND}
    parser_classes = [OneFile]
    calls_per_minute = {"POST": 60}

    @extend_schema(
        tags=["messages"],
        summary="Upload a file for messages",
        description=(
            "Checked by its bytes, stored once: the same file again has the same id. Images, "
            "videos and recordings have 16 MiB at most, documents 64."
        ),
        request={"multipart/form-data": UploadBody},
        responses={201: MediaAnswer},
        examples=examples.MEDIA,
    )
    def post(self, request: Request) -> Response:
        wishes = read(UploadBody, request.data)
        file = wishes["file"]
        try:
            stored = media.store(
                tenant=self.tenant,
                data=file.read(),
                filename=file.name,
                kind=wishes.get("type"),
            )
        except media.BadMedia as error:
            field = "type" if error.code == "wrong_kind" else "file"
            raise Problem.of_field(field, error.code, str(error)) from error
        return Response(MediaAnswer(stored).data, status=201)
