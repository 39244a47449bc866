"""The Django peer, run by gunicorn in an environment of its own: a bare REST framework view that inserts the same rows.

What the rows look like comes as JSON in the file `PEER_ROWS` names (`bench.peers.described`): for each table its
columns' types and its rows. The tables are the copies in the schema `peer`.
"""

import json
import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings

address = urlsplit(os.environ["PEER_DATABASE_URL"])
settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": address.path.lstrip("/"),
            "USER": address.username,
            "PASSWORD": address.password or "",
            "HOST": address.hostname,
            "PORT": address.port,
            "CONN_MAX_AGE": None,
            "OPTIONS": {"options": "-c search_path=peer"},
        }
    },
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    LOGGING_CONFIG=None,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402 - Django wants its settings first
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models, transaction  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import serializers  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

FIELDS = {
    "uuid": models.UUIDField,
    "text": models.TextField,
    "timestamptz": models.DateTimeField,
    "date": models.DateField,
    "int2": models.SmallIntegerField,
    "int4": models.IntegerField,
    "int8": models.BigIntegerField,
    "bool": models.BooleanField,
    "jsonb": models.JSONField,
    "bytea": models.BinaryField,
}
KEYS = {"outbox": "position", "idempotency": "key"}
"""Which column stands for the primary key where it is not `id`: the ORM wants one."""


def model_of(table: str, columns: dict[str, str]) -> type[models.Model]:
    """A mapped class of a table, from the names and types of its columns."""
    key = KEYS.get(table, "id" if "id" in columns else next(iter(columns)))
    fields = {
        name: ArrayField(FIELDS[kind[1:]](), null=True)
        if kind.startswith("_")
        else FIELDS[kind](**({"primary_key": True} if name == key else {"null": True}))
        for name, kind in columns.items()
    }
    meta = type("Meta", (), {"db_table": table, "managed": False, "app_label": "peer"})
    return type(table, (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


def value_of(kind: str, value: Any) -> Any:
    return bytes.fromhex(value) if kind == "bytea" and value is not None else value


DESCRIBED = json.loads(Path(os.environ["PEER_ROWS"]).read_text())
MODELS = {each["table"]: model_of(each["table"], each["columns"]) for each in DESCRIBED}
ROWS = [
    (each["table"], {name: value_of(each["columns"][name], value) for name, value in row.items()})
    for each in DESCRIBED
    for row in each["rows"]
]
FRESH = {
    "change_request": lambda key, form: {"number": str(key), "title": form["title"]},
    "due": lambda key, form: {"id": uuid.uuid4()},
    "event": lambda key, form: {"event_id": uuid.uuid4()},
    "outbox": lambda key, form: {"position": uuid.uuid4().int >> 65},
    "idempotency": lambda key, form: {"key": str(key)},
}
IDS = [row["id"] for table, row in ROWS if table in ("change_request", "matter")]


class Form(serializers.Serializer):
    """The fields of the service's form, plainly typed."""

    charter_id = serializers.CharField()
    title = serializers.CharField()
    type = serializers.CharField()
    category = serializers.CharField()
    description = serializers.CharField()
    justification = serializers.CharField()
    consequence_of_not_doing = serializers.CharField(required=False)
    back_out_plan = serializers.CharField(required=False)
    priority = serializers.DictField(child=serializers.CharField())
    impact = serializers.DictField(child=serializers.CharField())


class Created(serializers.Serializer):
    id = serializers.CharField()
    number = serializers.CharField()


class ChangeRequests(APIView):
    def post(self, request: Request) -> Response:
        form = Form(data=request.data)
        form.is_valid(raise_exception=True)
        renamed = {old: uuid.uuid4() for old in IDS}
        key = renamed[IDS[0]]
        with transaction.atomic():
            for table, row in ROWS:
                kept = {
                    name: renamed.get(value, value) if isinstance(value, str) else value
                    for name, value in row.items()
                }
                own = FRESH.get(table, lambda key, form: {})(key, form.validated_data)
                MODELS[table].objects.create(**kept | own)
        return Response(Created({"id": str(key), "number": str(key)}).data, status=201)


urlpatterns = [
    path("change_requests", ChangeRequests.as_view()),
    path("readyz", lambda request: HttpResponse("ok")),
]
application = get_wsgi_application()
